// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image"
)

// maxFile bounds what the configuration refers to, in bytes: bundles of
// certificates are a quarter of that.
const maxFile = 1 << 20

// packFiles returns the files that the configuration refers to, and changes it to
// refer to where they will be in the image.
func packFiles(cfg *config.Config) ([]image.File, error) {
	var packed []image.File
	at := map[string]string{} // where in the image what is packed already lies
	for i := range cfg.Targets {
		if err := completeFiles(&cfg.Targets[i]); err != nil {
			return nil, err
		}
		for _, f := range cfg.Targets[i].Files() {
			from := *f.Path
			if at[from] == "" {
				data, err := readSmall(from, f.Secret)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", config.Path, f.Key, err)
				}
				at[from] = fmt.Sprintf("%s/%d-%s", image.ConfigDir, len(packed)+1, path.Base(from))
				packed = append(packed, image.File{Path: at[from], Data: data})
			}
			*f.Path = at[from]
		}
	}
	return packed, nil
}

// completeFiles sets the defaults of what is not configured.
func completeFiles(t *config.Target) error {
	switch t.Kind {
	case "ssh":
		t.SSHKey = cmp.Or(t.SSHKey, "/root/.ssh/kdump_id_rsa") // as in kdump-utils
		t.KnownHosts = cmp.Or(t.KnownHosts, "/root/.ssh/known_hosts")
	case "http", "s3":
		if t.TLSCA != "" || t.TLSPin != "" || strings.HasPrefix(t.Address, "http:") {
			return nil
		}
		bundles := caBundles()
		i := slices.IndexFunc(bundles, func(name string) bool { _, err := os.Stat(name); return err == nil })
		if i < 0 {
			return fmt.Errorf("%s: %v: no bundle of certificates is on this machine (looked for %s): name one with tls_ca, or a key with tls_pin",
				config.Path, t, strings.Join(bundles, ", "))
		}
		t.TLSCA = bundles[i]
	}
	return nil
}

// caBundles returns where distributions have the certificates that they trust.
func caBundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",   // Red Hat
		"/etc/ssl/ca-bundle.pem",             // SUSE
		"/etc/ssl/cert.pem",                  // Alpine
	}
}

// readSmall reads a file of at most maxFile. Nobody but its owner may be able to
// read one that is secret.
func readSmall(name string, secret bool) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if secret && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s", name, info.Mode().Perm(), name)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return data, err
}
