// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"os"
	"os/exec"
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

// TestBuildServerErrors has files that no server would accept.
func TestBuildServerErrors(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip(err)
	}
	m := newMachine(t)
	secret := func(name, text string) string {
		file := write(t, m.dir, name, []byte(text))
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, passphrase := range map[string]string{"key": "", "locked": "s3cret"} {
		if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", passphrase, "-f", filepath.Join(m.dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	public, err := os.ReadFile(m.dir + "/key.pub")
	if err != nil {
		t.Fatal(err)
	}
	hosts := write(t, m.dir, "hosts", append([]byte("known.example.org "), public...))
	known, empty := "\nssh_known_hosts "+hosts, secret("empty", "")
	for _, test := range []struct{ conf, want string }{
		{"ssh a@known.example.org\nsshkey /nowhere" + known, "kdump.conf:2: sshkey: open /nowhere: no such file"},
		{"ssh a@known.example.org\nsshkey " + hosts + known, "kdump.conf:2: sshkey: " + hosts + " can be read by others"},
		{"ssh a@known.example.org\nsshkey " + empty + known, "kdump.conf: ssh a@known.example.org: the private key: "},
		{"ssh a@known.example.org\nsshkey " + m.dir + "/locked" + known, "the private key has a passphrase"},
		{"ssh a@other.example.org\nsshkey " + m.dir + "/key" + known, hosts + " has no key of the host other.example.org:22 (kdumpctl propagate"},
		{"ssh a@known.example.org:24\nsshkey " + m.dir + "/key" + known, "no key of the host known.example.org:24"},
		{"http https://a/\ntls_ca " + hosts, "kdump.conf: http https://a/: " + hosts + " has no certificate"},
		{"http https://a/\ntls_pin sha256//x", `kdump.conf: http https://a/: tls_pin: "sha256//x" is not sha256// and a hash in base64`},
		{"http http://a/\nhttp_token " + empty, empty + ": there is no token in it"},
		{"s3 s3://bucket\ns3_credentials " + empty, empty + ": "},
	} {
		write(t, m.dir, "kdump.conf", []byte(test.conf+"\n"))
		if status, out, errout := m.build("--no-modules"); status != 1 || out != "" || !strings.Contains(errout, test.want) {
			t.Errorf("build with %q = %d, %q, %q, want 1, nothing, a line with %q", test.conf, status, out, errout, test.want)
		}
	}
	write(t, m.dir, "kdump.conf", []byte("ssh a@known.example.org\nsshkey "+m.dir+"/key"+known+"\n"))
	if status, _, errout := m.build("--no-modules"); status != 0 {
		t.Errorf("build with what is right = %d, %q, want 0", status, errout)
	}
}
