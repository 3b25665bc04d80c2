// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// TestWriteText has buffers with texts and something else between them.
func TestWriteText(t *testing.T) {
	long := strings.Repeat("long ", textWindow/5+10)
	for _, test := range []struct {
		name, buf string
		want      []string
	}{
		{"records", "\xf0\xff\x12\x34\xff\xff\xff\xffLinux version\x00\x00\x00\xf1\xff\x12\x34\xff\xff\xff\xffsecond\tone", []string{"Linux version", "second\tone"}},
		{"lines", "first\nsecond\r\n\x1b[31mthird", []string{"first", "second", "[31mthird"}},
		{"short ones", "abc\x00abcd\x00abc", []string{"abcd"}},
		{"over a page", strings.Repeat("\x00", 4090) + "at the end of a page", []string{"at the end of a page"}},
		{"with a hole", strings.Repeat("\x00", 4090) + "before" + strings.Repeat("x", 4096) + "after", []string{"before", "after"}},
		{"no end", long, []string{long[:textWindow], long[textWindow:]}},
	} {
		forEachMachine(t, test.name, func(t *testing.T, word int, order binary.ByteOrder) {
			m := newMachine(word, order)
			m.variable("log_buf", addrLogBufVar, word, m.base+addrLogBuf)
			m.variable("log_buf_len", addrLogBufLen, 4, uint64(len(test.buf)))
			m.pieces[addrLogBuf] = []byte(test.buf)
			if test.name == "with a hole" {
				m.holes[addrLogBuf+4096] = true
			}
			var out bytes.Buffer
			n, err := WriteText(&out, kstruct.New(m.vmcoreinfo(t), &m, order), &m, order)
			if want := strings.Join(test.want, "\n") + "\n"; err != nil || out.String() != want || n != len(test.want) {
				t.Errorf("WriteText = %d, %v, %.200q, want %d, %.200q", n, err, out.String(), len(test.want), want)
			}
		})
	}
}

func TestWriteTextErrors(t *testing.T) {
	for name, change := range map[string]func(*machine){
		"no text":     func(m *machine) {},
		"no memory":   func(m *machine) { delete(m.pieces, addrLogBuf) },
		"absurd size": func(m *machine) { m.put(m.pieces[addrLogBufLen], 0, 4, maxBuffer+1) },
		"no address":  func(m *machine) { m.put(m.pieces[addrLogBufVar], 0, 8, 0) },
		"no variable": func(m *machine) { delete(m.pieces, addrLogBufVar) },
	} {
		m := newMachine(8, binary.LittleEndian)
		m.variable("log_buf", addrLogBufVar, 8, m.base+addrLogBuf)
		m.variable("log_buf_len", addrLogBufLen, 4, 4096)
		m.pieces[addrLogBuf] = make([]byte, 4096)
		change(&m)
		var out bytes.Buffer
		if n, err := WriteText(&out, kstruct.New(m.vmcoreinfo(t), &m, m.order), &m, m.order); err == nil {
			t.Errorf("%s: WriteText = %d, want an error", name, n)
		}
	}
}

// TestWriteTextReal finds the texts of real kernels, whose VMCOREINFO does not
// say where the buffer is.
func TestWriteTextReal(t *testing.T) {
	paths, _ := filepath.Glob("../../build/cores/*.elf")
	if len(paths) == 0 {
		t.Skip("no core in build/cores")
	}
	for _, path := range paths {
		core, err := vmcore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer core.Close()
		if _, ok := core.Info.Symbol("kallsyms_num_syms"); !ok {
			continue // before 6.0 it does not say where the symbol table is either
		}
		space, err := addrxlat.New(core)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		n, err := WriteText(&out, kstruct.New(core.Info, space, core.Order()), space, core.Order())
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, text := range []string{"Linux version " + core.Info.OSRelease(), "sysrq triggered crash"} {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s: %d texts, and %q is not among them", path, n, text)
			}
		}
	}
}
