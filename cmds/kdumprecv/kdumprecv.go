// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kdumprecv is the applet kdumprecv: it receives dumps from a fleet of
// machines. What it does with them is in package receiver.
package kdumprecv

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/receiver"
	"github.com/ukdump/ukdump/pkg/target/s3"
)

const help = `usage: kdumprecv [OPTION...]
       kdumprecv token MACHINE

Receives dumps from machines whose kdump.conf has, for example,

    http https://dumps.example.org:8443/
    http_token /etc/kdump.token

and keeps them as DIR/MACHINE/DUMP/vmcore, with the kernel log and the log of the
run beside. Uploads that break off go on where they were, also after a restart of
kdumprecv. What is not complete is called so. A file can be sent by hand, too:

    curl -T vmcore -H "Authorization: Bearer $(cat kdump.token)" \
        https://dumps.example.org:8443/by-hand/vmcore

  --listen ADDRESS   where to listen (:8443)
  --cert FILE        the server's certificate, with what it is signed by, and
  --key FILE         its key; both are read again on SIGHUP
  --no-tls           plain http: everybody on the way can read the dumps

Dumps go to
  --dir DIR          a directory (/var/lib/kdumprecv), or
  --bucket ADDRESS   a bucket, s3://BUCKET/PREFIX or https://HOST/BUCKET/PREFIX, that
                     any number of kdumprecv may have at a time
  --s3-region NAME       where the bucket is
  --s3-credentials FILE  access key and secret key, as in ~/.aws/credentials (what
                         the machine's metadata service says)

Machines prove who they are by one of
  --tokens FILE      a token, whose hash is in the file; read again on SIGHUP
  --client-ca FILE   a certificate that one of these has signed: the machine is its
                     first DNS name, or else its common name
  --no-auth          nothing at all: the machine is its address

  --quota SIZE       how much the dumps of one machine may have (100G)
  --total SIZE       the same for all of them (no limit)
  --keep-free SIZE   how much of the disk is left alone (1G)
  --idle DURATION    how long a request may take for 64 KiB (1m)
  --connections N    how many there may be at a time (1000), and how many
  --per-address N    from one address (100; 0 if there is a proxy in front)
  --requests N       how many may be under way at a time (256), and how many
  --per-machine N    of one machine (8)
  --expire DURATION  when uploads are given up that nobody goes on with (168h)
  --metrics ADDRESS  where to serve /metrics for Prometheus (nowhere)

SIZE is in bytes, or with K, M, G or T behind it.

kdumprecv token prints a new token for a machine, for the file that its kdump.conf
names, and the line for the file of tokens.

It logs a line for each file, and for each request that it refuses. Exit status: 0
after SIGTERM or SIGINT, 1 after an error.
`

// options are what the command line says.
type options struct {
	listen, metrics string
	cert, key       string
	noTLS           bool
	tokens          string
	clientCA        string
	noAuth          bool
	connections     int
	perAddress      int
	bucket          string
	region          string
	credentials     string // the file that has them
	receiver        receiver.Options
}

// Run runs the applet and returns its exit status.
func Run(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	err := run(ctx, args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "kdumprecv: %v\n", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "token" {
		return printToken(args[1:], stdout)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	o.receiver.Log = slog.New(slog.NewTextHandler(stderr, nil))
	s := &server{opts: o}
	if err := s.reload(); err != nil {
		return err
	}
	o.receiver.Machine = s.machine
	recv, err := receiver.New(o.receiver)
	if err != nil {
		return err
	}
	defer recv.Close()
	return s.serve(ctx, recv)
}

func printToken(args []string, stdout io.Writer) error {
	if len(args) != 1 {
		return errors.New("token: name one machine")
	}
	token, line, err := receiver.NewToken(args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\n%s\n", token, line)
	return err
}

func parse(args []string) (*options, error) {
	const gib = 1 << 30
	o := &options{receiver: receiver.Options{MachineQuota: 100 * gib, KeepFree: gib}}
	flags := flag.NewFlagSet("kdumprecv", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.listen, "listen", ":8443", "")
	flags.StringVar(&o.metrics, "metrics", "", "")
	flags.StringVar(&o.receiver.Dir, "dir", "", "")
	flags.StringVar(&o.bucket, "bucket", "", "")
	flags.StringVar(&o.region, "s3-region", "", "")
	flags.StringVar(&o.credentials, "s3-credentials", "", "")
	flags.DurationVar(&o.receiver.Expire, "expire", 7*24*time.Hour, "")
	flags.StringVar(&o.cert, "cert", "", "")
	flags.StringVar(&o.key, "key", "", "")
	flags.BoolVar(&o.noTLS, "no-tls", false, "")
	flags.StringVar(&o.tokens, "tokens", "", "")
	flags.StringVar(&o.clientCA, "client-ca", "", "")
	flags.BoolVar(&o.noAuth, "no-auth", false, "")
	flags.Var((*size)(&o.receiver.MachineQuota), "quota", "")
	flags.Var((*size)(&o.receiver.TotalQuota), "total", "")
	flags.Var((*size)(&o.receiver.KeepFree), "keep-free", "")
	flags.DurationVar(&o.receiver.Idle, "idle", time.Minute, "")
	flags.IntVar(&o.connections, "connections", 1000, "")
	flags.IntVar(&o.perAddress, "per-address", 100, "")
	flags.IntVar(&o.receiver.MaxRequests, "requests", 256, "")
	flags.IntVar(&o.receiver.MachineRequests, "per-machine", 8, "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := o.check(flags.Args()); err != nil {
		return nil, err
	}
	if o.bucket != "" {
		return o, o.findBucket()
	}
	o.receiver.Dir = cmp.Or(o.receiver.Dir, "/var/lib/kdumprecv")
	return o, nil
}

// findBucket sets where the bucket is and who we are there.
func (o *options) findBucket() error {
	bucket, err := s3.Parse(o.bucket)
	if err != nil {
		return fmt.Errorf("--bucket: %w", err)
	}
	bucket.Region = o.region
	if o.credentials != "" {
		text, err := os.ReadFile(o.credentials)
		if err != nil {
			return err
		}
		if err := bucket.SetCredentials(text); err != nil {
			return fmt.Errorf("%s: %w", o.credentials, err)
		}
	}
	o.receiver.Bucket = &bucket
	return nil
}

func (o *options) check(rest []string) error {
	ways := 0
	for _, way := range []bool{o.tokens != "", o.clientCA != "", o.noAuth} {
		if way {
			ways++
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is no option; -h explains", rest[0])
	case !o.noTLS && (o.cert == "" || o.key == ""):
		return errors.New("--cert and --key are needed (or --no-tls, by which everybody on the way can read the dumps)")
	case o.noTLS && (o.cert != "" || o.key != "" || o.clientCA != ""):
		return errors.New("--no-tls excludes --cert, --key and --client-ca")
	case ways != 1:
		return errors.New("one of --tokens, --client-ca and --no-auth is needed")
	case o.receiver.Idle < time.Second:
		return fmt.Errorf("--idle %v is less than a second", o.receiver.Idle)
	case o.bucket != "" && o.receiver.Dir != "":
		return errors.New("--bucket excludes --dir")
	case o.bucket == "" && (o.region != "" || o.credentials != ""):
		return errors.New("--s3-region and --s3-credentials are for a --bucket")
	case o.receiver.Expire < time.Hour:
		return fmt.Errorf("--expire %v is less than an hour", o.receiver.Expire)
	case o.connections < 1 || o.perAddress < 0:
		return fmt.Errorf("--connections %d, --per-address %d: want 1 or more, and 0 or more", o.connections, o.perAddress)
	case o.receiver.MaxRequests < 1 || o.receiver.MachineRequests < 1:
		return fmt.Errorf("--requests %d, --per-machine %d: want 1 or more", o.receiver.MaxRequests, o.receiver.MachineRequests)
	}
	return nil
}

// size is an option with a number of bytes.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

func (s *size) Set(text string) error {
	digits, shift := text, 0
	for i, unit := range []string{"K", "M", "G", "T"} {
		if before, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = before, 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > 1<<(62-shift) {
		return fmt.Errorf("%q is no size such as 500M or 2T", text)
	}
	*s = size(n << shift)
	return nil
}

// server is what can change while it runs.
type server struct {
	opts *options
	set  settings
}

// machine says who a request comes from.
func (s *server) machine(q *http.Request) (string, error) {
	switch {
	case s.opts.noAuth:
		return receiver.ByAddress(q)
	case s.opts.clientCA != "":
		return receiver.ByCertificate(q)
	}
	_, tokens := s.set.get()
	return tokens.Machine(q)
}

// headerTime bounds how long a connection may be held without a request: for TLS's
// handshake, and for the head of a request.
const headerTime = 20 * time.Second

// serve serves until ctx ends.
func (s *server) serve(ctx context.Context, recv *receiver.Receiver) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.opts.listen)
	if err != nil {
		return err
	}
	listener = limitConnections(listener, s.opts.connections, s.opts.perAddress)
	if !s.opts.noTLS {
		config, err := s.tls()
		if err != nil {
			return err
		}
		listener = tls.NewListener(listener, config)
	}
	uploads := &http.Server{Handler: recv, ReadHeaderTimeout: min(s.opts.receiver.Idle, headerTime), IdleTimeout: 2 * s.opts.receiver.Idle,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.opts.receiver.Log.Handler(), slog.LevelWarn)}
	errs := make(chan error, 2)
	go func() { errs <- uploads.Serve(listener) }()
	s.opts.receiver.Log.Info("listening", "address", listener.Addr(), "to", cmp.Or(s.opts.bucket, s.opts.receiver.Dir))
	if s.opts.metrics != "" {
		metrics := &http.Server{Addr: s.opts.metrics, Handler: metricsHandler(recv), ReadHeaderTimeout: s.opts.receiver.Idle}
		go func() { errs <- metrics.ListenAndServe() }()
		defer metrics.Close()
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case err := <-errs:
			return err
		case <-hup:
			if err := s.reload(); err != nil {
				s.opts.receiver.Log.Error("going on with what was there before", "error", err)
			}
		case <-ctx.Done():
			// Uploads under way go on with the next process.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if uploads.Shutdown(ctx) != nil {
				uploads.Close()
			}
			return nil
		}
	}
}

func (s *server) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, _ := s.set.get()
		return certificate, nil
	}}
	if s.opts.clientCA == "" {
		return c, nil
	}
	text, err := os.ReadFile(s.opts.clientCA)
	if err != nil {
		return nil, err
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", s.opts.clientCA)
	}
	return c, nil
}
