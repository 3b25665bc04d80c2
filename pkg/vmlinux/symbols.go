// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmlinux

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
)

// symbol is a symbol of the kernel: its address as linked, and the size in bytes
// of what is there, 0 if unknown.
type symbol struct{ addr, size uint64 }

// Bounds of the string table and of a symbol's name, in bytes. Distribution
// kernels have 6 MB of names; those that are looked for are short.
const (
	maxStrings = 64 << 20
	maxName    = 64
)

// readSymbols finds the symbols of the names that object has. The table, of
// hundreds of thousands, is streamed. Among symbols of one name a global one is
// taken, or else the first.
func readSymbols(object *elf.File, names []string) (map[string]symbol, error) {
	table := object.SectionByType(elf.SHT_SYMTAB)
	if table == nil || int(table.Link) >= len(object.Sections) {
		return nil, errors.New("it has no symbol table (the file is stripped)")
	}
	strings := object.Sections[table.Link]
	if strings.Type != elf.SHT_STRTAB || strings.Size > maxStrings {
		return nil, fmt.Errorf("its symbol table has no table of names, or one of %d bytes", strings.Size)
	}
	text, err := strings.Data()
	if err != nil {
		return nil, fmt.Errorf("names of symbols: %w", err)
	}
	wanted := make(map[string]symbol, len(names)) // with address 0 until found
	for _, name := range names {
		wanted[name] = symbol{}
	}
	var entry [elf.Sym64Size]byte
	for r := bufio.NewReaderSize(table.Open(), 64<<10); ; {
		_, err := io.ReadFull(r, entry[:])
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("symbol table: %w", err)
		}
		addSymbol(wanted, object, text, entry[:])
	}
	if wanted["swapper_pg_dir"].addr == 0 {
		wanted["swapper_pg_dir"] = wanted["init_top_pgt"] // for which it is a macro on x86_64
	}
	for name, s := range wanted {
		if s.addr == 0 {
			delete(wanted, name)
		}
	}
	return wanted, nil
}

// addSymbol adds the symbol of a struct Elf64_Sym, if it is wanted, defined, and
// better than one that is there.
func addSymbol(wanted map[string]symbol, object *elf.File, text, entry []byte) {
	at := object.ByteOrder.Uint32(entry)
	if uint64(at) >= uint64(len(text)) {
		return
	}
	name := text[at:min(uint64(at)+maxName, uint64(len(text)))]
	end := bytes.IndexByte(name, 0)
	if end < 0 {
		return
	}
	old, ok := wanted[string(name[:end])]
	defined := object.ByteOrder.Uint16(entry[6:]) != uint16(elf.SHN_UNDEF)
	global := elf.ST_BIND(entry[4]) != elf.STB_LOCAL
	if ok && defined && (old.addr == 0 || global) {
		wanted[string(name[:end])] = symbol{object.ByteOrder.Uint64(entry[8:]), object.ByteOrder.Uint64(entry[16:])}
	}
}
