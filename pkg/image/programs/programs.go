// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package programs finds what programs of the running machine need in order to run
// in an image: the interpreters of scripts, the dynamic linker, and libraries. It
// reads files and executes nothing.
//
// What a program opens by itself once it runs cannot be found this way: plugins,
// configuration, the modules of a scripting language, the programs that a script
// calls.
package programs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ukdump/ukdump/pkg/hook"
)

// File is a file for the image, or a symbolic link.
type File struct {
	Path string // absolute, as on this machine
	Data []byte
	Link string // what it is a link to; "" for a file
}

// Interpreter is a program that is in a set for the sake of a script.
type Interpreter struct{ Path, Script string }

// Set is a set of programs with all that they need.
type Set struct {
	files []File
	// interpreters are those that nobody has asked for.
	interpreters []Interpreter
	at           map[string]bool // paths in the image
	total        int
	dirs         []string // where the dynamic linker looks for libraries, beside its own
}

// Bounds, far above what an image can afford.
const (
	maxFiles = 1000
	maxTotal = 256 << 20 // bytes
)

// NewSet returns an empty set.
func NewSet() *Set {
	return &Set{at: map[string]bool{}, dirs: linkerConfig("/etc/ld.so.conf", 0)}
}

// Files returns the files of the set in the order in which they were found.
func (s *Set) Files() []File { return s.files }

// Interpreters returns the interpreters that were added before anybody asked for
// them.
func (s *Set) Interpreters() []Interpreter { return s.interpreters }

// Add adds a program by its absolute path, with all that it needs.
func (s *Set) Add(name string) error {
	if s.at[name] {
		return nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", name)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable (mode %04o)", name, info.Mode().Perm())
	}
	data, resolved, err := s.add(name, name)
	if err != nil || data == nil {
		return err
	}
	switch {
	case bytes.HasPrefix(data, []byte("#!")):
		err = s.addInterpreters(name, data)
	case bytes.HasPrefix(data, []byte(elf.ELFMAG)):
		err = s.addLibraries(resolved, data)
	default:
		err = errors.New("neither an ELF file nor a script, which begins with #! and its interpreter")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// LookPath returns the absolute path of a program that is called by its name.
func (s *Set) LookPath(name string) (string, error) {
	for _, dir := range hook.Path() {
		file := path.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("no program %.60q in %s", name, strings.Join(hook.Path(), ":"))
}

// add adds a file and, if that is not where it really is, a link to it at the path
// to. It returns the file's real path and what is in it, nil if it was there before.
func (s *Set) add(name, to string) (data []byte, resolved string, err error) {
	if resolved, err = filepath.EvalSymlinks(name); err != nil {
		return nil, "", err
	}
	if !s.at[resolved] {
		if data, err = s.read(resolved); err != nil {
			return nil, "", err
		}
		s.put(File{Path: resolved, Data: data})
	}
	if !s.at[to] {
		s.put(File{Path: to, Link: resolved})
	}
	return data, resolved, nil
}

func (s *Set) put(f File) {
	s.files = append(s.files, f)
	s.at[f.Path] = true
}

func (s *Set) read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(maxTotal-s.total)+1))
	if err != nil {
		return nil, err
	}
	s.total += len(data)
	if s.total > maxTotal || len(s.files) >= maxFiles {
		return nil, fmt.Errorf("%s and what comes with it is more than %d files or %d MiB", name, maxFiles, maxTotal>>20)
	}
	return data, nil
}

// addInterpreters adds what runs a script.
func (s *Set) addInterpreters(script string, data []byte) error {
	words := interpreter(data)
	if len(words) == 0 || !path.IsAbs(words[0]) {
		return fmt.Errorf("%.60q names no interpreter", bytes.SplitN(data, []byte("\n"), 2)[0])
	}
	if err := s.addInterpreter(words[0], script); err != nil || path.Base(words[0]) != "env" {
		return err
	}
	i := slices.IndexFunc(words[1:], func(word string) bool { return word[0] != '-' && !strings.Contains(word, "=") })
	if i < 0 {
		return errors.New("env is to find its interpreter and is not told which")
	}
	found, err := s.LookPath(words[1+i])
	if err != nil {
		return fmt.Errorf("its interpreter: %w", err)
	}
	return s.addInterpreter(found, script)
}

func (s *Set) addInterpreter(name, script string) error {
	if s.at[name] {
		return nil
	}
	s.interpreters = append(s.interpreters, Interpreter{name, script})
	if err := s.Add(name); err != nil {
		return fmt.Errorf("its interpreter: %w", err)
	}
	return nil
}

// interpreter returns the words of the first line of a script.
func interpreter(data []byte) []string {
	const most = 256 // BINPRM_BUF_SIZE in include/uapi/linux/binfmts.h
	line, _, _ := bytes.Cut(data[2:min(len(data), most)], []byte("\n"))
	return strings.Fields(string(line))
}

// linkerConfig returns the directories in a file of ld.so.conf's format.
func linkerConfig(name string, depth int) []string {
	const deepest, longest = 4, 1 << 20
	f, err := os.Open(name)
	if err != nil || depth > deepest {
		return nil // as with ldconfig, it is no error that there is none
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, longest))
	var dirs []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "include":
			pattern := fields[1]
			if !path.IsAbs(pattern) {
				pattern = path.Join(path.Dir(name), pattern)
			}
			included, _ := filepath.Glob(pattern)
			for _, file := range included {
				dirs = append(dirs, linkerConfig(file, depth+1)...)
			}
		case len(fields) == 1 && path.IsAbs(fields[0]):
			dirs = append(dirs, path.Clean(fields[0]))
		}
	}
	return dirs
}
