// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmlinux

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// ErrMismatch says that a text is about another kernel than the core.
var ErrMismatch = errors.New("not the kernel of this core")

// kernelMap is where x86_64 kernels are linked to and where KASLR moves them:
// the 1 GiB from __START_KERNEL_map on (arch/x86/include/asm/page_64_types.h), in
// steps of at least 2 MiB.
const (
	kernelMap     = mem.VirtAddr(0xffffffff80000000)
	kernelMapSize = 1 << 30
	kernelAlign   = 2 << 20
)

// Relocate returns the VMCOREINFO of the kernel in core, made from a text about
// that kernel: one of ReadInfo, of makedumpfile -g, or the VMCOREINFO of another
// boot. If core has VMCOREINFO, the text only adds the keys that are not in it.
//
// If the core is of another kernel, or if that kernel cannot be found in its
// memory, the error wraps ErrMismatch.
func Relocate(core *vmcore.Core, text []byte) (*vmcoreinfo.Info, error) {
	linked, err := parseLinked(text)
	if err != nil {
		return nil, err
	}
	if core.Machine() != "x86_64" {
		return nil, fmt.Errorf("%s: a core of architecture %s, which needs VMCOREINFO of its own", core.Path, core.Machine())
	}
	stext, ok := linked.Symbol("_stext")
	if !ok || stext < kernelMap {
		return nil, fmt.Errorf("%w: no SYMBOL(_stext) of an x86_64 kernel", vmcoreinfo.ErrInvalid)
	}
	if core.Info == nil {
		return locate(core, linked, stext)
	}
	if err := checkSame(core.Info, linked); err != nil {
		return nil, fmt.Errorf("%s: %w", core.Path, err)
	}
	at, ok := core.Info.Symbol("_stext")
	if !ok {
		return locate(core, linked, stext)
	}
	return vmcoreinfo.Parse([]byte(rawText(core.Info) + move(linked, uint64(at-stext), core.Info)))
}

// parseLinked reads a text. What makedumpfile -g writes lacks the page types,
// which are no symbols of DWARF. They are known of the kernels that mark pages of
// hugetlbfs by a destructor (before 6.6), except that before 4.18 (6e292b9be7f4)
// they were others: then no page has these.
func parseLinked(text []byte) (*vmcoreinfo.Info, error) {
	linked, err := vmcoreinfo.Parse(text)
	if err != nil {
		return nil, err
	}
	_, old := linked.Number("HUGETLB_PAGE_DTOR")
	_, known := linked.Number("PAGE_BUDDY_MAPCOUNT_VALUE")
	if !old || known {
		return linked, nil
	}
	return vmcoreinfo.Parse([]byte(rawText(linked) + "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\nNUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\n"))
}

// checkSame reports an error if note, of a core, and linked are about different
// kernels.
func checkSame(note, linked *vmcoreinfo.Info) error {
	for _, key := range []string{"OSRELEASE", "BUILD-ID"} {
		a, inCore := note.Value(key)
		b, inText := linked.Value(key)
		if inCore && inText && a != b {
			return fmt.Errorf("%w: the core has %s=%.80q, not %.80q", ErrMismatch, key, a, b)
		}
	}
	return nil
}

// ofOneBoot are keys whose values another boot does not share.
var ofOneBoot = map[string]bool{
	"CRASHTIME": true, "KERNELOFFSET": true,
	"NUMBER(phys_base)": true, "NUMBER(sme_mask)": true, "NUMBER(pgtable_l5_enabled)": true,
	"NUMBER(VMALLOC_START)": true,
	// Without it every address is looked up in the page tables, which shows
	// whether they are where they should be.
	"NUMBER(KERNEL_IMAGE_SIZE)": true,
}

// move returns the lines of linked whose keys known, if not nil, does not have,
// with the addresses of a kernel that lies offset bytes further on.
func move(linked *vmcoreinfo.Info, offset uint64, known *vmcoreinfo.Info) string {
	var b strings.Builder
	for line := range strings.Lines(rawText(linked)) {
		key, _, isLine := strings.Cut(line, "=")
		if !isLine || ofOneBoot[key] {
			continue
		}
		if known != nil {
			if _, ok := known.Value(key); ok {
				continue
			}
		}
		name, isSymbol := strings.CutPrefix(key, "SYMBOL(")
		if !isSymbol {
			b.WriteString(line)
			continue
		}
		name = strings.TrimSuffix(name, ")")
		addr, ok := linked.Symbol(name)
		switch {
		case ok && addr >= kernelMap:
			fmt.Fprintf(&b, "%s=%x\n", key, uint64(addr)+offset)
		case ok && offset == 0:
			b.WriteString(line) // memory that was allocated, maybe on this boot
		}
	}
	return b.String()
}

// rawText returns the text that info was made of, ending in a newline.
func rawText(info *vmcoreinfo.Info) string {
	text, _, _ := strings.Cut(string(info.Raw()), "\x00")
	return strings.TrimRight(text, "\n") + "\n"
}
