// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Send puts a file on a target as the program in an image does, so that this can
// be measured without a crash:
//
//	send KDUMP_CONF FILE     the file as it is
//	send KDUMP_CONF -dump FILE     the dump of the core in it
//
// It goes to the first target of the configuration. NFS has to be mounted already:
// the target is then the directory path.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/direct"
	"github.com/ukdump/ukdump/pkg/target/encrypt"
	"github.com/ukdump/ukdump/pkg/target/file"
	"github.com/ukdump/ukdump/pkg/target/http"
	"github.com/ukdump/ukdump/pkg/target/s3"
	"github.com/ukdump/ukdump/pkg/target/ssh"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "send: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 && (len(args) != 3 || args[1] != "-dump") {
		return errors.New("usage: send KDUMP_CONF [-dump] FILE")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	conf, err := config.Parse(args[0], string(text), config.Checks{})
	if err != nil {
		return err
	}
	store, err := open(ctx, conf.Targets[0])
	if err != nil {
		return err
	}
	defer store.Close()
	place, err := store.Make(ctx, fmt.Sprintf("dump-%d", os.Getpid()))
	if err != nil {
		return err
	}
	if len(conf.Encrypt) > 0 {
		recipients, err := encrypt.ParseRecipients(conf.Encrypt)
		if err != nil {
			return err
		}
		if place, err = encrypt.New(place, recipients); err != nil {
			return err
		}
	}
	f, err := place.Create(ctx, "vmcore", 0)
	if err != nil {
		return err
	}
	if len(args) == 3 {
		err = dump(ctx, f, args[2], conf.CoreCollector)
	} else {
		err = send(f, args[1])
	}
	if err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// open opens the target, as package capture does.
func open(ctx context.Context, t config.Target) (target.Store, error) {
	switch t.Kind {
	case "ssh":
		o, err := ssh.Parse(t.Address)
		if err != nil {
			return nil, err
		}
		o.Dir, o.KnownHosts = t.Dir, t.KnownHosts
		if o.Key, err = os.ReadFile(t.SSHKey); err != nil {
			return nil, err
		}
		return ssh.Open(ctx, o)
	case "http":
		roots, err := clientTLS(t)
		if err != nil {
			return nil, err
		}
		return http.Open(ctx, http.Options{URL: t.Address, TLS: roots})
	case "s3":
		o, err := s3.Parse(t.Address)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(t.Credentials)
		if err != nil {
			return nil, err
		}
		if err := o.SetCredentials(text); err != nil {
			return nil, err
		}
		if o.TLS, err = clientTLS(t); err != nil {
			return nil, err
		}
		return s3.Open(ctx, o)
	case "nfs":
		return file.OpenStore("/", t.Dir, nil)
	}
	return nil, fmt.Errorf("nobody has to measure %s", t.Kind)
}

func clientTLS(t config.Target) (*tls.Config, error) {
	if t.TLSCA == "" {
		return nil, nil
	}
	bundle, err := os.ReadFile(t.TLSCA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("%s has no certificate", t.TLSCA)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// pieceSize is the size of the pieces that dumps are written in, in bytes.
const pieceSize = 1 << 20

// send writes the file of that name to f.
func send(f io.Writer, name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	// Without the short cuts of io.Copy, which dumps cannot take.
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{in}, direct.Buffer(pieceSize))
	return err
}

// dump writes the dump of the core of that name to f.
func dump(ctx context.Context, f target.File, name string, args []string) error {
	opts, err := collector.ParseArgs(args)
	if err != nil {
		return err
	}
	core, err := vmcore.Open(name)
	if err != nil {
		return err
	}
	defer core.Close()
	if out, ok := f.(io.WriterAt); ok {
		_, err := collector.Save(ctx, core, out, opts)
		return err
	}
	flat, err := diskdump.NewFlatWriter(f)
	if err != nil {
		return err
	}
	if _, err := collector.Save(ctx, core, flat, opts); err != nil {
		return err
	}
	return flat.Close()
}
