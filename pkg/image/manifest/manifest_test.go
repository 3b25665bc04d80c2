// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package manifest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestSha256sum has sha256sum(1) check what Write writes, and reads what
// sha256sum writes.
func TestSha256sum(t *testing.T) {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("no sha256sum here")
	}
	dir := t.TempDir()
	files := map[string]string{"init": "\x7fELF", "a b": "", "lib/x.ko": strings.Repeat("x", 100000)}
	var entries []Entry
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{"/" + name, sha256.Sum256([]byte(data))})
	}
	var text bytes.Buffer
	if err := Write(&text, entries); err != nil {
		t.Fatal(err)
	}

	check := exec.Command("sha256sum", "-c", "--strict", "-")
	check.Dir, check.Stdin = dir, bytes.NewReader(text.Bytes())
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}

	sum := exec.Command("sha256sum", "init")
	sum.Dir = dir
	out, err := sum.Output()
	if err != nil {
		t.Fatal(err)
	}
	sum = exec.Command("sha256sum")
	sum.Stdin = bytes.NewReader(out)
	whole, err := sum.Output()
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, seal+string(whole[:2*sha256.Size])+"\n"...)
	want := []Entry{{"/init", sha256.Sum256([]byte(files["init"]))}}
	if got, err := Parse(bytes.NewReader(out)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse(%q) = %v, %v, want %v", out, got, err, want)
	}
}

func TestCheck(t *testing.T) {
	e := Entry{"/init", sha256.Sum256([]byte("right"))}
	if err := e.Check(strings.NewReader("right")); err != nil {
		t.Errorf("Check of the right contents = %v", err)
	}
	for _, wrong := range []string{"", "righ", "right\n", "wrong"} {
		if err := e.Check(strings.NewReader(wrong)); !errors.Is(err, ErrMismatch) {
			t.Errorf("Check of %q = %v, want ErrMismatch", wrong, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	sum := strings.Repeat("ab", sha256.Size)
	for _, text := range []string{
		"\n", sum, sum + " init", sum + "  ", sum + "  /init", sum + "  a/../b", sum + "  ../b", sum + "  a\\b",
		sum[2:] + "  init", "zz" + sum[2:] + "  init", sum + "ab  init",
	} {
		if got, err := Parse(strings.NewReader(text)); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, got)
		}
	}
}

// TestDamaged changes every byte of a manifest, and cuts it off everywhere.
func TestDamaged(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, []Entry{{Path: "/init"}, {Path: "/lib/x.ko"}}); err != nil {
		t.Fatal(err)
	}
	text := b.Bytes()
	if _, err := Parse(bytes.NewReader(text)); err != nil {
		t.Fatalf("Parse(%q) = %v", text, err)
	}
	for i := range text[:len(text)-1] { // a line may end without a line feed
		if got, err := Parse(bytes.NewReader(text[:i])); !errors.Is(err, ErrDamaged) {
			t.Errorf("Parse of %d bytes = %v, %v, want ErrDamaged", i, got, err)
		}
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if got, err := Parse(bytes.NewReader(changed)); !errors.Is(err, ErrDamaged) {
			t.Errorf("Parse with byte %d changed = %v, %v, want ErrDamaged", i, got, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, path := range []string{"", "/", "init", "/a\nb", "/a\\b", "/a/"} {
		if err := Write(&bytes.Buffer{}, []Entry{{Path: path}}); err == nil {
			t.Errorf("Write of the path %q = nil, want an error", path)
		}
	}
}

func FuzzParse(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, []Entry{{Path: "/init"}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Add("x\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := Write(&b, entries); err != nil {
			t.Fatalf("Write of what Parse(%q) returned = %v", text, err)
		}
		if again, err := Parse(&b); err != nil || !reflect.DeepEqual(again, entries) {
			t.Errorf("Parse(%q) = %v, but written and read again it is %v, %v", text, entries, again, err)
		}
	})
}
