// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	entries := []Entry{
		{Path: "/lib/modules/virtio.ko"},
		{Path: "/lib/modules/virtio-ring.ko", Needs: []string{"virtio"}, Params: "a=1 b=x,y"},
		{Path: "/lib/modules/virtio_blk.ko", Needs: []string{"virtio", "virtio_ring"}},
	}
	const text = `/lib/modules/virtio.ko -
/lib/modules/virtio-ring.ko virtio a=1 b=x,y
/lib/modules/virtio_blk.ko virtio,virtio_ring
`
	var b strings.Builder
	if err := WriteList(&b, entries); err != nil || b.String() != text {
		t.Errorf("WriteList = %q, %v, want %q", b.String(), err, text)
	}
	got, err := ParseList(strings.NewReader("# comment\n\n" + text))
	if err != nil || !reflect.DeepEqual(got, entries) {
		t.Errorf("ParseList = %+v, %v, want %+v", got, err, entries)
	}
}

func TestParseListErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"/a.ko", `line 1: "/a.ko" has no second field; write - if the module needs no other`},
		{"a.ko -", `module path "a.ko": must be absolute and without spaces`},
		{"/a.ko b\n/b.ko -", `module /a.ko: needs "b", which is not listed before it`},
		{"/a.ko a", `module /a.ko: needs "a", which is not listed before it`},
		{"/a.ko ,", `module /a.ko: needs "", which is not listed before it`},
		{"/a-b.ko -\n/x/a_b.ko -", "module /x/a_b.ko: listed twice"},
		{strings.Repeat("/a.ko -\n", maxListed+1), "line 10001: more than 10000 modules"},
		{strings.Repeat("a", 1<<20), "bufio.Scanner: token too long"},
	} {
		got, err := ParseList(strings.NewReader(test.text))
		if err == nil || err.Error() != test.want {
			t.Errorf("ParseList(%.40q) = %+v, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestWriteListErrors(t *testing.T) {
	for _, entries := range [][]Entry{
		{{Path: "/a b.ko"}},
		{{Path: ""}},
		{{Path: "/a.ko", Params: "x\ny"}},
		{{Path: "/a.ko", Needs: []string{"b"}}},
	} {
		if err := WriteList(new(bytes.Buffer), entries); err == nil {
			t.Errorf("WriteList(%+v) is no error", entries)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("/lib/modules/a.ko -\n/b.ko a x=1 y\n# c\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := ParseList(strings.NewReader(text))
		if err != nil {
			return
		}
		var b strings.Builder
		if err := WriteList(&b, entries); err != nil {
			t.Fatalf("WriteList(%+v): %v", entries, err)
		}
		again, err := ParseList(strings.NewReader(b.String()))
		if err != nil || !reflect.DeepEqual(again, entries) {
			t.Errorf("%+v is read back as %+v, %v", entries, again, err)
		}
	})
}
