// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	lzo "github.com/anchore/go-lzo"
)

// numbers returns the first n bytes of "0 1 2 3 4 …".
func numbers(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprint(&b, i, " ")
	}
	return b.String()[:n]
}

// TestLZOFormat has streams made by hand from the kernel's description, with an
// instruction of each kind. The end mark is added to them.
func TestLZOFormat(t *testing.T) {
	// Literal strings of 2100, 17000 and 33000 bytes: 3+15, 255 for each zero
	// byte, and the rest.
	s, m, l := numbers(2100), numbers(17000), numbers(33000)
	short := "\x00" + strings.Repeat("\x00", 8) + "\x2a" + s
	middle := "\x00" + strings.Repeat("\x00", 66) + "\x98" + m
	long := "\x00" + strings.Repeat("\x00", 129) + "\x57" + l

	for _, c := range []struct{ name, stream, want string }{
		{"5 literals in the first byte", "\x16abcde", "abcde"},
		{"238 literals in the first byte", "\xff" + s[:238], s[:238]},
		{"4 literals", "\x01abcd", "abcd"},
		{"18 literals", "\x0fabcdefghijklmnopqr", "abcdefghijklmnopqr"},
		{"19 literals", "\x00\x01abcdefghijklmnopqrs", "abcdefghijklmnopqrs"},
		{"2100 literals", short, s},
		{"copy 2 from 1 after 1 literal", "\x12a\x00\x00", "aaa"},
		{"copy 2 from 3 and 2 literals", "\x14abc\x0a\x00de", "abcabde"},
		{"copy 2 from 5", "\x14abc\x0a\x00de\x00\x01", "abcabdeca"},
		{"copy 3 from 2049", short + "\x00\x00", s + s[51:54]},
		{"copy 3 from 2058 and 1 literal", short + "\x05\x02q", s + s[42:45] + "q"},
		{"copy 3 from 5 and 1 literal", "\x16abcde\x51\x00x", "abcdeabcx"},
		{"copy 4 from 1", "\x16abcde\x60\x00", "abcdeeeee"},
		{"copy 5 from 2048", short + "\x9c\xff", s + s[52:57]},
		{"copy 8 from 1", "\x16abcde\xe0\x00", "abcdeeeeeeeee"},
		{"copy 6 from 2100 and 2 literals", short + "\x24\xce\x20uv", s + s[:6] + "uv"},
		{"copy 34 from 1", "\x16abcde\x20\x01\x00\x00", "abcde" + strings.Repeat("e", 34)},
		{"copy 289 from 1", "\x16abcde\x20\x00\x01\x00\x00", "abcde" + strings.Repeat("e", 289)},
		{"copy 289 from 2", "\x16abcde\x20\x00\x01\x04\x00", "abcde" + strings.Repeat("de", 144) + "d"},
		{"copy 5 from 16385", middle + "\x13\x04\x00", m + m[615:620]},
		{"copy 10 from 16385", middle + "\x10\x01\x04\x00", m + m[615:625]},
		{"copy 4 from 32768 and 3 literals", long + "\x1a\x03\x00xyz", l + l[232:236] + "xyz"},
		{"literals after a copy without", "\x16abcde\x60\x00\x01fghi", "abcdeeeeefghi"},
	} {
		var dec Decoder
		got := make([]byte, len(c.want))
		err := dec.Decode(got, []byte(c.stream+lzoEnd), LZO)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %.60q, %v, want %.60q", c.name, got, err, c.want)
		}
	}
}

func TestLZORefuses(t *testing.T) {
	for name, stream := range map[string]string{
		"nothing":                  "",
		"no end":                   "\x16abcde",
		"more behind the end":      "\x16abcde\x11\x00\x00\x00",
		"other bits in the end":    "\x16abcde\x12\x00\x00",
		"literals after the end":   "\x16abcde\x11\x01\x00x",
		"copy from before page":    "\x15abcd\x60\x01\x11\x00\x00",
		"copy without anything":    "\x10\x00\x00\x11\x00\x00",
		"copy past the page":       "\x16abcde\xe0\x00\x11\x00\x00",
		"literals past the page":   "\x17abcdef\x11\x00\x00",
		"length without end":       "\x16abcde\x20" + strings.Repeat("\x00", 1000),
		"literals of endless size": strings.Repeat("\x00", 1000),
		"too short":                "\x15abcd\x11\x00\x00",
	} {
		var dec Decoder
		if err := dec.Decode(make([]byte, 5), []byte(stream), LZO); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Decode = %v, want ErrCorrupt", name, err)
		}
	}
}

// TestLZOOfOthers decodes with an implementation made from another source.
func TestLZOOfOthers(t *testing.T) {
	eachPage(t, LZO, func(t *testing.T, page, packed []byte) {
		got := make([]byte, len(page))
		if n, err := lzo.Decompress(packed, got); err != nil || !bytes.Equal(got[:n], page) {
			t.Errorf("go-lzo decodes %d bytes, %v", n, err)
		}
	})
}

// TestLZOState compresses pages one after the other: nothing may remain of the
// page before.
func TestLZOState(t *testing.T) {
	enc := newEncoder(t, LZO, 4096)
	for i := range 8 {
		page := []byte(strings.Repeat(fmt.Sprintf("page %d, ", i), 600)[:4096])
		got, _ := enc.Append(nil, page)
		want, _ := newEncoder(t, LZO, 4096).Append(nil, page)
		if !bytes.Equal(got, want) {
			t.Errorf("page %d is compressed in another way than alone", i)
		}
	}
}
