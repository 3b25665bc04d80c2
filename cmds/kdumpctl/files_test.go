// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/config"
)

func TestPackFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, hosts := write("key", "private", 0o600), write("hosts", "public", 0o644)
	open, huge := write("open", "private", 0o640), write("huge", strings.Repeat("x", maxFile+1), 0o600)
	parse := func(text string) *config.Config {
		t.Helper()
		cfg, err := config.Parse(config.Path, text, config.Checks{})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	cfg := parse("sshkey " + key + "\nssh_known_hosts " + hosts + "\next4 /dev/vda1\nssh a@b\nssh c@d\nhttp http://e/\n")
	files, err := packFiles(cfg)
	if err != nil || len(files) != 2 || string(files[0].Data) != "private" || string(files[1].Data) != "public" {
		t.Fatalf("packFiles = %q, %v, want the two files, once", files, err)
	}
	for _, target := range cfg.Targets[1:3] {
		if target.SSHKey != files[0].Path || target.KnownHosts != files[1].Path {
			t.Errorf("the target refers to %q and %q, want %q and %q", target.SSHKey, target.KnownHosts, files[0].Path, files[1].Path)
		}
	}
	for text, want := range map[string]string{
		"ssh a@b\nsshkey /nowhere/key":                                        "kdump.conf: sshkey: open /nowhere/key: no such file",
		"ssh a@b\nsshkey " + open:                                             "can be read by others (mode 0640): chmod 600",
		"ssh a@b\nsshkey " + key + "\nssh_known_hosts " + huge:                "is larger than 1048576 bytes",
		"http https://a/\ntls_pin x\ntls_cert " + hosts + "\ntls_key " + open: "tls_key: ",
	} {
		if files, err := packFiles(parse(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("packFiles(%q) = %d files, %v, want an error with %q", text, len(files), err, want)
		}
	}
}
