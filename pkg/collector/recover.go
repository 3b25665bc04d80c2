// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// ErrNoCopy says that no copy of VMCOREINFO was found.
var ErrNoCopy = errors.New("no copy of VMCOREINFO in memory")

// InfoDamaged reports whether the core's VMCOREINFO is missing, is not text to
// its end, or does not fit the kernel in the core's memory.
func InfoDamaged(core *vmcore.Core) bool {
	return core.Info == nil || !isText(core.Info.Raw()) || !fits(core, core.Info)
}

// RecoverInfo sets core.Info to a copy of VMCOREINFO that it finds in the core's
// memory: the kernel composes the text in a page of its own when it boots, and
// copies it to the note when it crashes (vmcoreinfo_data in
// kernel/vmcore_info.c). It looks at the beginning of every page. What it
// finds, say of an older kernel, must fit the kernel in memory. The error
// wraps ErrNoCopy if there is none.
func RecoverInfo(ctx context.Context, core *vmcore.Core) error {
	view := core.NewView()
	defer view.Close()
	ram := mem.NewBitmap(core.End().PFN(finest) + 1)
	core.FillPresent(ram, finest)
	for run := ram.NextRun(0); run.Start < run.End; run = ram.NextRun(run.End) {
		addr, end := run.Start.Phys(finest), run.End.Phys(finest)
		for addr < end {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			n, info := searchPiece(core, view, addr, int(min(uint64(end-addr), searchPieceSize)))
			if info != nil {
				core.Info, core.InfoErr = info, nil
				return nil
			}
			addr += mem.PhysAddr(n)
		}
	}
	return fmt.Errorf("%s: %w", core.Path, ErrNoCopy)
}

const (
	finest          = 12 // the smallest page size as a power of two
	searchPieceSize = 4 << 20
)

// searchPiece looks at some pages from addr on and returns how many bytes these
// were, at most n. A page that cannot be read is passed over.
func searchPiece(core *vmcore.Core, view vmcore.View, addr mem.PhysAddr, n int) (int, *vmcoreinfo.Info) {
	var candidates []mem.PhysAddr
	looked := 1 << finest
	_ = vmcore.CatchFault(func() error {
		piece, err := view.Slice(addr, n)
		if err != nil {
			return err
		}
		for at := 0; at < len(piece); at += 1 << finest {
			if bytes.HasPrefix(piece[at:], []byte(firstKey)) {
				candidates = append(candidates, addr+mem.PhysAddr(at))
			}
			looked = at + 1<<finest
		}
		return nil
	})
	for _, at := range candidates {
		if info := readCopy(core, at); info != nil {
			return looked, info
		}
	}
	return looked, nil
}

// firstKey begins VMCOREINFO in every kernel.
const firstKey = "OSRELEASE="

// readCopy reads a copy of VMCOREINFO at addr; nil if there is none that fits.
func readCopy(core *vmcore.Core, addr mem.PhysAddr) *vmcoreinfo.Info {
	raw := make([]byte, 1<<finest) // VMCOREINFO_BYTES, or less where pages are larger
	if core.ReadPhys(raw, addr) != nil {
		return nil
	}
	text, _, _ := bytes.Cut(raw, []byte{0})
	info, err := vmcoreinfo.Parse(withCrashTime(text, core))
	if err != nil || !isText(text) || !fits(core, info) {
		return nil
	}
	return info
}

// withCrashTime appends to a copy of VMCOREINFO what the kernel appends when it
// crashes, if the damaged note still has it: when that was.
func withCrashTime(text []byte, core *vmcore.Core) []byte {
	note, _ := elfcore.FindVMCoreInfo(core.Notes(), core.Order())
	const key = "\nCRASHTIME="
	_, after, found := bytes.Cut(note.Desc, []byte(key))
	value, _, ended := bytes.Cut(after, []byte("\n"))
	if !found || !ended || bytes.Contains(text, []byte(key)) {
		return text
	}
	return fmt.Appendf(bytes.Clone(text), "%s%s\n", key[1:], value)
}

// isText reports whether VMCOREINFO is lines with keys and values, in printable
// characters.
func isText(raw []byte) bool {
	text, _, _ := bytes.Cut(raw, []byte{0})
	for line := range bytes.Lines(text) {
		line, ended := bytes.CutSuffix(line, []byte("\n"))
		unprintable := func(r rune) bool { return r < ' ' || r > '~' }
		if !ended || !bytes.Contains(line, []byte("=")) || bytes.ContainsFunc(line, unprintable) {
			return false
		}
	}
	return len(text) > 0
}

// fits reports whether the release in the kernel's memory is found with info,
// and is the same.
func fits(core *vmcore.Core, info *vmcoreinfo.Info) bool {
	trial := *core
	trial.Info, trial.InfoErr = info, nil
	fields, ok := readUtsname(&trial)
	return ok && fields[2] == info.OSRelease()
}
