// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package manifest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestXxhsum has xxhsum(1) check what Write writes, and reads what
// xxhsum writes.
func TestXxhsum(t *testing.T) {
	if _, err := exec.LookPath("xxhsum"); err != nil {
		t.Skip("no xxhsum here")
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
		entries = append(entries, Entry{"/" + name, Sum([]byte(data))})
	}
	var text bytes.Buffer
	if err := Write(&text, entries); err != nil {
		t.Fatal(err)
	}

	check := exec.Command("xxhsum", "-c")
	check.Dir, check.Stdin = dir, bytes.NewReader(text.Bytes())
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("xxhsum -c: %v\n%s", err, out)
	}

	sum := exec.Command("xxhsum", "init")
	sum.Dir = dir
	out, err := sum.Output()
	if err != nil {
		t.Fatal(err)
	}
	sum = exec.Command("xxhsum")
	sum.Stdin = bytes.NewReader(out)
	whole, err := sum.Output()
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, seal+string(whole[:16])+"\n"...)
	want := []Entry{{"/init", Sum([]byte(files["init"]))}}
	if got, err := Parse(bytes.NewReader(out)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse(%q) = %v, %v, want %v", out, got, err, want)
	}
}

func TestCheck(t *testing.T) {
	e := Entry{"/init", Sum([]byte("right"))}
	if err := e.Check([]byte("right")); err != nil {
		t.Errorf("Check of the right contents = %v", err)
	}
	for _, wrong := range []string{"", "righ", "right\n", "wrong"} {
		if err := e.Check([]byte(wrong)); !errors.Is(err, ErrMismatch) {
			t.Errorf("Check of %q = %v, want ErrMismatch", wrong, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	sum := strings.Repeat("ab", 8)
	for _, text := range []string{
		"\n", sum, sum + " init", sum + "  ", sum + "  /init", sum + "  a/../b", sum + "  ../b", sum + "  a\\b",
		sum[2:] + "  init", "zz" + sum[2:] + "  init", sum + "ab  init", "+" + sum[1:] + "  init",
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
