// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package encrypt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/file"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

// newKey makes a key with age-keygen, or skips.
func newKey(t *testing.T) (identity, public string) {
	t.Helper()
	identity = filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("age-keygen", "-o", identity).CombinedOutput(); err != nil {
		t.Skipf("age-keygen: %v\n%s", err, out)
	}
	out, err := exec.Command("age-keygen", "-y", identity).Output()
	if err != nil {
		t.Fatal(err)
	}
	return identity, strings.TrimSpace(string(out))
}

// decrypt has age decrypt a file.
func decrypt(identity, path string) ([]byte, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	cmd := exec.Command("age", "-d", "-i", identity, path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%w: %s", err, &stderr)
	}
	return out, nil
}

// encrypting returns a target that encrypts to the keys and writes to dir.
func encrypting(t *testing.T, dir string, keys ...string) *Target {
	t.Helper()
	d, err := file.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	recipients, err := ParseRecipients(keys)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := New(d, recipients)
	if err != nil {
		t.Fatal(err)
	}
	return encrypted
}

func TestConformance(t *testing.T) {
	identity, public := newKey(t)
	dir := t.TempDir()
	targettest.Run(t, encrypting(t, dir, public), func(name string) ([]byte, error) {
		// What is incomplete has that at its end.
		base, incomplete := strings.CutSuffix(name, target.Incomplete)
		if incomplete {
			return decrypt(identity, filepath.Join(dir, base+Suffix+target.Incomplete))
		}
		return decrypt(identity, filepath.Join(dir, name+Suffix))
	})
}

// TestRecipients has each of two keys decrypt what is encrypted to both, and a
// third one not.
func TestRecipients(t *testing.T) {
	first, public1 := newKey(t)
	second, public2 := newKey(t)
	other, _ := newKey(t)
	dir := t.TempDir()
	f, err := encrypting(t, dir, public1, public2).Create(t.Context(), "secret", 0)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("the secrets of everybody "), 10000)
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "secret"+Suffix)
	for _, identity := range []string{first, second} {
		if got, err := decrypt(identity, path); err != nil || !bytes.Equal(got, text) {
			t.Errorf("age decrypts %d bytes, %v, want %d", len(got), err, len(text))
		}
	}
	if _, err := decrypt(other, path); err == nil {
		t.Error("another key decrypts it, too")
	}
	if stored, err := os.ReadFile(path); err != nil || bytes.Contains(stored, []byte("secrets")) {
		t.Errorf("the file is readable as it is (%v)", err)
	}
}

// TestAborted has age decrypt the beginning of a file that was not finished, and
// say that it is not whole.
func TestAborted(t *testing.T) {
	identity, public := newKey(t)
	dir := t.TempDir()
	f, err := encrypting(t, dir, public).Create(t.Context(), "part", 0)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("0123456789abcdef"), 20<<10)
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Fatal(err)
	}
	const chunk = 64 << 10
	got, err := decrypt(identity, filepath.Join(dir, "part"+Suffix+target.Incomplete))
	if err == nil || len(got) < chunk || !bytes.HasPrefix(text, got) {
		t.Errorf("age decrypts %d bytes of %d, %v, want the beginning and an error", len(got), len(text), err)
	}
}

func TestParseRecipients(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	_, public := newKey(t)
	if got, err := ParseRecipients([]string{public, hybrid.Recipient().String()}); err != nil || len(got) != 2 {
		t.Errorf("ParseRecipients = %v, %v, want two", got, err)
	}
	for _, bad := range []string{"", "age1", public[:20], public + "q", "ssh-ed25519 AAAA", "age1pq1zzz", strings.Repeat("x", 10000)} {
		if got, err := ParseRecipients([]string{bad}); err == nil {
			t.Errorf("ParseRecipients(%.60q) = %v, want an error", bad, got)
		}
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("New without a recipient is no error: everything would be readable")
	}
	if _, err := ParseRecipients([]string{public, "x"}); errors.Unwrap(err) == nil {
		t.Errorf("ParseRecipients = %v, want it to wrap the cause", err)
	}
}
