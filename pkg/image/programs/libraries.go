// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package programs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// object is a program or library that the dynamic linker is to load.
type object struct {
	name   string // path on this machine
	class  elf.Class
	arch   elf.Machine
	linker string // of a program; of a library that of the program
	needed []string
	// rpath has the directories that are looked through first, on behalf of what
	// the object needs, too; runpath those on behalf of the object alone.
	rpath, runpath []string
}

// addLibraries adds the dynamic linker and the libraries of an ELF program.
func (s *Set) addLibraries(name string, data []byte) error {
	program, err := parseObject(name, data)
	if err != nil {
		return err
	}
	if program.linker == "" {
		return nil // static
	}
	if _, _, err := s.add(program.linker, program.linker); err != nil {
		return fmt.Errorf("its dynamic linker: %w", err)
	}
	for queue := []*object{program}; len(queue) > 0; queue = queue[1:] {
		for _, needed := range queue[0].needed {
			library, err := s.addLibrary(needed, queue[0])
			if err != nil {
				return err
			}
			if library != nil {
				queue = append(queue, library)
			}
		}
	}
	return nil
}

// addLibrary adds a library that by needs; nil if it is there already.
func (s *Set) addLibrary(needed string, by *object) (*object, error) {
	if needed == path.Base(by.linker) {
		return nil, nil // some name the linker as a library
	}
	found, to, err := s.find(needed, by)
	if err != nil {
		return nil, err
	}
	data, _, err := s.add(found, to)
	if err != nil || data == nil {
		return nil, err
	}
	library, err := parseObject(found, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", found, err)
	}
	library.linker = by.linker
	library.rpath = slices.Concat(library.rpath, by.rpath)
	return library, nil
}

// find looks for a library as the dynamic linker does (ld.so(8)), and returns where
// it is and where it is to be in the image. There the linker finds what its
// configuration lists only if it is beside the C library.
func (s *Set) find(needed string, by *object) (found, to string, err error) {
	if strings.Contains(needed, "/") {
		return needed, needed, nil
	}
	dirs := by.runpath
	if len(dirs) == 0 {
		dirs = by.rpath
	}
	usual := usualDirs()
	for _, dir := range slices.Concat(dirs, s.dirs, usual) {
		file := path.Join(dir, needed)
		if !fits(file, by) {
			continue
		}
		if slices.Contains(dirs, dir) || slices.Contains(usual, dir) {
			return file, file, nil
		}
		libc := path.Dir(by.linker)
		for _, dir := range usual {
			if fits(path.Join(dir, "libc.so.6"), by) {
				libc = dir
				break
			}
		}
		return file, path.Join(libc, needed), nil
	}
	return "", "", fmt.Errorf("%s needs the library %.60q, which is not to be found", by.name, needed)
}

// usualDirs returns the directories where dynamic linkers look without being told.
func usualDirs() []string {
	var dirs []string
	for _, pattern := range []string{"/lib/*-linux-*", "/usr/lib/*-linux-*"} { // Debian, for each architecture
		matches, _ := filepath.Glob(pattern)
		dirs = append(dirs, matches...)
	}
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
}

// fits reports whether the file is there and is an object for the same machine.
func fits(file string, by *object) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	object, err := elf.NewFile(f)
	return err == nil && object.Class == by.class && object.Machine == by.arch
}

// parseObject reads what an ELF file says to the dynamic linker.
func parseObject(name string, data []byte) (*object, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	o := &object{name: name, class: f.Class, arch: f.Machine}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		const longest = 4096 // PATH_MAX
		if p.Filesz > longest {
			return nil, errors.New("the name of its dynamic linker is too long")
		}
		linker := make([]byte, p.Filesz)
		if _, err := p.ReadAt(linker, 0); err != nil {
			return nil, err
		}
		o.linker = string(bytes.TrimRight(linker, "\x00"))
	}
	if o.needed, err = f.ImportedLibraries(); err != nil {
		return nil, err
	}
	if o.rpath, err = searchPath(f, elf.DT_RPATH, name); err != nil {
		return nil, err
	}
	o.runpath, err = searchPath(f, elf.DT_RUNPATH, name)
	return o, err
}

// searchPath returns the directories of DT_RPATH or DT_RUNPATH.
func searchPath(f *elf.File, tag elf.DynTag, name string) ([]string, error) {
	values, err := f.DynString(tag)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, value := range values {
		for dir := range strings.SplitSeq(value, ":") {
			dir = strings.NewReplacer("${ORIGIN}", path.Dir(name), "$ORIGIN", path.Dir(name)).Replace(dir)
			if path.IsAbs(dir) && !strings.Contains(dir, "$") {
				dirs = append(dirs, path.Clean(dir))
			}
		}
	}
	return dirs, nil
}
