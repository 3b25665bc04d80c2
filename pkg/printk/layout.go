// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"fmt"
	"strings"
)

// maxStruct bounds what the kernel may claim as the size of one of the log's
// structures, in bytes. The largest of any kernel has some 200.
const maxStruct = 4096

// layouts looks up structure layouts. The first lookup that fails leaves err
// and makes the later ones return zeros, so that a dozen of them need one check.
type layouts struct {
	kernel Kernel
	err    error
}

// structure is the layout of a kernel structure.
type structure struct {
	name string
	size uint64
}

// field is a member within a structure: bytes [off, off+width) of it.
type field struct{ off, width uint64 }

// of returns the bytes of b, a whole structure, that the field takes.
func (f field) of(b []byte) []byte { return b[f.off:][:f.width] }

// structure returns the structure of the first of names that is known.
func (l *layouts) structure(names ...string) structure {
	l.kernel.Need("SIZE(" + strings.Join(names, ") SIZE(") + ")")
	for _, name := range names {
		size, ok := l.kernel.Size(name)
		if !ok {
			continue
		}
		if size == 0 || size > maxStruct {
			l.fail("SIZE(%s)=%d is no size of that structure", name, size)
		}
		return structure{name, size}
	}
	l.fail("the kernel does not tell SIZE(%s)", names[0])
	return structure{name: names[0]}
}

// field returns the member of s that is width bytes long and lies behind path:
// a member of s, a member of that member's type and so on, each named as in
// OFFSET(), the first without the name of s.
func (l *layouts) field(s structure, width uint64, path ...string) field {
	f := field{width: width}
	for i, key := range path {
		if i == 0 {
			key = s.name + "." + key
		}
		l.kernel.Need("OFFSET(" + key + ")")
		off, ok := l.kernel.Offset(key)
		if !ok {
			l.fail("the kernel does not tell OFFSET(%s)", key)
			return field{}
		}
		f.off += min(off, maxStruct)
		if f.off+width > s.size {
			l.fail("OFFSET(%s)=%d leads out of %s's %d bytes", key, off, s.name, s.size)
			return field{}
		}
	}
	return f
}

// optional returns the member of s that is width bytes long if it is known, else
// a field of width 0.
func (l *layouts) optional(s structure, width uint64, member string) field {
	if _, ok := l.kernel.Offset(s.name + "." + member); !ok {
		return field{}
	}
	return l.field(s, width, member)
}

func (l *layouts) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}
