// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package addrxlat

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// TestLinear reads kernel memory of architectures without page tables here, at
// addresses worked out by hand from their kernels' documentation.
func TestLinear(t *testing.T) {
	for _, test := range []struct {
		name    string
		class   elf.Class
		order   binary.ByteOrder
		machine elf.Machine
		info    string // VMCOREINFO beyond the usual
		virt    mem.VirtAddr
		phys    mem.PhysAddr
	}{
		{"s390x", elf.ELFCLASS64, binary.BigEndian, elf.EM_S390, "", 0x100000, 0x100000},
		{"s390x moved", elf.ELFCLASS64, binary.BigEndian, elf.EM_S390,
			"KERNELOFFSET=3ffe0000000\nKERNELOFFPHYS=200000\nIDENTITYBASE=0\n", 0x3ffe0000000, 0x200000},
		{"aarch64 image", elf.ELFCLASS64, binary.LittleEndian, elf.EM_AARCH64,
			"NUMBER(VA_BITS)=48\nNUMBER(PHYS_OFFSET)=0x40000000\nNUMBER(kimage_voffset)=0xffff7fffc0000000\n",
			0xffff800000200000, 0x40200000},
		{"aarch64 linear map", elf.ELFCLASS64, binary.LittleEndian, elf.EM_AARCH64,
			"NUMBER(VA_BITS)=48\nNUMBER(PHYS_OFFSET)=0x40000000\nNUMBER(kimage_voffset)=0xffff7fffc0000000\n",
			0xffff000000200000, 0x40200000},
		{"ppc64", elf.ELFCLASS64, binary.BigEndian, elf.EM_PPC64, "", 0xc000000000200000, 0x200000},
		{"i686", elf.ELFCLASS32, binary.LittleEndian, elf.EM_386, "", 0xc0200000, 0x200000},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := make([]byte, 4096)
			copy(memory[8+2*65:], "6.1.2-test")
			info := fmt.Sprintf("OSRELEASE=6.1.2-test\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=%x\nOFFSET(uts_namespace.name)=8\n%s",
				uint64(test.virt), test.info)
			file := func(memory []byte) *vmcore.Core {
				raw := coretest.ELF{
					Class: test.class, Order: test.order, Machine: test.machine,
					Notes:    coretest.Note(test.order, "VMCOREINFO", 0, []byte(info)),
					Segments: []coretest.Segment{{Phys: test.phys, Data: memory}},
				}.Bytes()
				source, err := elfcore.New(bytes.NewReader(raw), int64(len(raw)))
				if err != nil {
					t.Fatal(err)
				}
				parsed, err := vmcoreinfo.Parse([]byte(info))
				if err != nil {
					t.Fatal(err)
				}
				return &vmcore.Core{Source: source, Info: parsed}
			}
			space, err := New(file(memory))
			if err != nil {
				t.Fatal(err)
			}
			phys, _, err := space.NewWalker().Translate(test.virt + 8)
			if err != nil || phys != test.phys+8 {
				t.Errorf("Translate(%v) = %v, %v, want %v", test.virt+8, phys, err, test.phys+8)
			}
			// A kernel that is not there must not be believed.
			if _, err := New(file(make([]byte, 4096))); !errors.Is(err, ErrUnsupported) {
				t.Errorf("New for a core with other memory = %v, want ErrUnsupported", err)
			}
		})
	}
}
