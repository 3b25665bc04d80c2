// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

// Package nfs is the target that keeps dumps in a directory of an NFS server. It
// mounts the export with the kernel's client, version 4 or 3, always in a way
// that ends by itself: when the server does not answer, calls fail in about a
// minute, whatever the options of the running system's mounts are. On top of the
// mount it is the target of package file.
//
// Without mount.nfs there is nobody to look up names and to try one version after
// the other, so this package does both. The kernel asks the server's portmapper
// and mountd itself where version 3 needs them. The options are those of nfs(5);
// their text form, which the kernel parses, is in fs/nfs/fs_context.c of Linux.
package nfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target/file"
)

// Options say what to mount.
type Options struct {
	Server string // name or address
	Export string // absolute path on the server
	Dir    string // absolute path of the directory for dumps, below the export
	Mount  string // where to mount it; made if it is missing
	Port   int    // of version 4; 0 means the usual, 2049
}

// Parse splits an address as kdump.conf has it: "server:/export" or
// "[fe80::1]:/export".
func Parse(address string) (server, export string, err error) {
	wrong := fmt.Errorf("%.80q is not SERVER:/EXPORT, such as nas.example.org:/srv/dumps", address)
	if rest, ok := strings.CutPrefix(address, "["); ok {
		server, export, ok = strings.Cut(rest, "]:")
		if ip, err := netip.ParseAddr(server); !ok || err != nil || !ip.Is6() {
			return "", "", wrong
		}
	} else {
		server, export, _ = strings.Cut(address, ":")
	}
	if server == "" || strings.ContainsAny(server, "/, \t") || !path.IsAbs(export) || strings.ContainsAny(export, "\n\t") {
		return "", "", wrong
	}
	return server, path.Clean(export), nil
}

// soft has calls fail instead of waiting for ever. timeo is in tenths of a second;
// with TCP each of the retransmissions waits that much longer than the one before,
// so calls fail after 10+20+30 seconds, and a link may be down for half of that.
const soft = "soft,proto=tcp,timeo=100,retrans=2"

// versions returns the options to try, the best first.
func versions(ip netip.Addr, port int) []string {
	at := "addr=" + ip.String()
	if port != 0 {
		at += fmt.Sprintf(",port=%d", port)
	}
	proto := strings.Replace(soft, "proto=tcp", "proto="+tcp(ip), 1)
	return []string{
		proto + ",vers=4.2," + at,
		proto + ",vers=4.1," + at,
		proto + ",vers=4.0," + at + ",clientaddr=" + unspecified(ip),
		// Locks would need a daemon.
		proto + ",vers=3,nolock," + at + ",mountproto=" + tcp(ip) + ",mountaddr=" + ip.String(),
	}
}

func tcp(ip netip.Addr) string {
	if ip.Is4() {
		return "tcp"
	}
	return "tcp6"
}

// unspecified is the address for callbacks of version 4.0 that nobody can reach:
// the server then gives out no delegations, which need them.
func unspecified(ip netip.Addr) string {
	if ip.Is4() {
		return netip.IPv4Unspecified().String()
	}
	return netip.IPv6Unspecified().String()
}

// Open mounts the export and opens the directory on it. Each address of the
// server is tried.
func Open(ctx context.Context, o Options) (*Store, error) {
	name := net.JoinHostPort(o.Server, "") + o.Export
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", o.Server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := os.MkdirAll(o.Mount, 0o700); err != nil {
		return nil, err
	}
	var errs error
	for _, ip := range ips {
		ip = ip.Unmap()
		err := mountBest(ctx, name, ip, o)
		if err == nil {
			return open(name, o)
		}
		errs = errors.Join(errs, fmt.Errorf("mounting %s (%v): %w", name, ip, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errs
}

// mountBest mounts with the best version of NFS that the server speaks.
func mountBest(ctx context.Context, source string, ip netip.Addr, o Options) (err error) {
	for _, options := range versions(ip, o.Port) {
		err = mount(ctx, source, o.Mount, options)
		// EPROTONOSUPPORT: the server lacks the version; EINVAL, ENODEV: the kernel does.
		if !errors.Is(err, unix.EPROTONOSUPPORT) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: the kernel has no nfs, and no module for it was loaded", err)
	}
	return err
}

// mount mounts, but waits for the server no longer than ctx. A mount that comes
// about after that is taken away.
func mount(ctx context.Context, source, dir, options string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME
	kind := "nfs4"
	if strings.Contains(options, "vers=3") {
		kind = "nfs"
	}
	done := make(chan error, 1)
	go func() { done <- unix.Mount(source, dir, kind, flags, options) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go func() {
			if <-done == nil {
				_ = detach(dir)
			}
		}()
		return context.Cause(ctx)
	}
}

// detach unmounts without waiting for the server. What was committed is there.
func detach(dir string) error { return unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH) }

// Store is a directory on an NFS server. It implements target.Store and
// target.Notebook.
type Store struct {
	*file.Store
	name string
}

func open(name string, o Options) (*Store, error) {
	inner, err := file.OpenStore(o.Mount, o.Dir, func() error { return detach(o.Mount) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), detach(o.Mount))
	}
	return &Store{inner, name}, nil
}

// String implements target.Store: the server, its export and the directory.
func (s *Store) String() string { return s.name + s.Store.String() }
