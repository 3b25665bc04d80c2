// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNotFound says that a kernel has no module of that name, neither as a file
// nor built in, and no alias that leads to one.
var ErrNotFound = errors.New("no such module")

// Tree is the modules directory of one kernel release, as depmod(8) indexed
// it; the formats are described in modules.dep(5) and depmod.d(5).
type Tree struct {
	dir     string
	files   map[string]moduleFile // by normalized name
	builtin map[string]bool       // by normalized name
	soft    map[string]softDeps   // by normalized name
	aliases []alias
	// builtinAliases are those of built-in modules.
	builtinAliases []alias
}

// moduleFile is a line of modules.dep.
type moduleFile struct {
	path  string   // relative to the directory
	needs []string // normalized names
}

// softDeps is what a line of modules.softdep wishes to have loaded before and
// after a module. The names are as its author wrote them and may be aliases.
type softDeps struct{ pre, post []string }

// alias is a line of modules.alias.
type alias struct{ pattern, module string }

// Module is a module to put into an image.
type Module struct {
	Name  string   // normalized
	File  string   // path on the host; may be compressed
	Needs []string // normalized names of the modules that must be loaded before
}

// OpenTree reads the indexes in dir, for example "/lib/modules/6.1.0-55-amd64".
// modules.dep must be there; the others are optional, as they are for modprobe.
func OpenTree(dir string) (*Tree, error) {
	t := &Tree{
		dir:     dir,
		files:   map[string]moduleFile{},
		builtin: map[string]bool{},
		soft:    map[string]softDeps{},
	}
	if err := t.eachLine("modules.dep", t.addDep); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: run depmod for this kernel", err)
		}
		return nil, err
	}
	optional := map[string]func(string){
		"modules.builtin":         func(line string) { t.builtin[Normalize(line)] = true },
		"modules.builtin.modinfo": t.addBuiltinInfo,
		"modules.softdep":         t.addSoftdep,
		"modules.alias":           t.addAlias,
	}
	for name, add := range optional {
		if err := t.eachLine(name, add); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return t, nil
}

// maxIndex bounds the size of an index, in bytes. That of a whole distribution
// kernel has some 2 MiB.
const maxIndex = 64 << 20

// eachLine calls add for every line of an index that is no comment; those of
// modules.builtin.modinfo end in zero bytes.
func (t *Tree) eachLine(name string, add func(line string)) error {
	path := filepath.Join(t.dir, name)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return err
	}
	if len(text) > maxIndex {
		return fmt.Errorf("%s: larger than %d bytes", path, maxIndex)
	}
	for line := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == 0 }) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			add(line)
		}
	}
	return nil
}

// addDep reads "kernel/a/b.ko.xz: kernel/c.ko.xz kernel/d.ko.xz".
func (t *Tree) addDep(line string) {
	file, needs, found := strings.Cut(line, ":")
	if !found {
		return
	}
	m := moduleFile{path: file}
	for _, need := range strings.Fields(needs) {
		m.needs = append(m.needs, Normalize(need))
	}
	t.files[Normalize(file)] = m
}

// addSoftdep reads "softdep MODULE pre: A B post: C". A module may have several
// such lines. modprobe heeds the first of them, which in the case of btrfs is
// one of four checksums; all of them are heeded here.
func (t *Tree) addSoftdep(line string) {
	fields := strings.Fields(line)
	if len(fields) < 3 || fields[0] != "softdep" {
		return
	}
	soft := t.soft[Normalize(fields[1])]
	var list *[]string // names in front of either word mean nothing to modprobe
	for _, field := range fields[2:] {
		switch {
		case field == "pre:":
			list = &soft.pre
		case field == "post:":
			list = &soft.post
		case list != nil:
			*list = append(*list, field)
		}
	}
	t.soft[Normalize(fields[1])] = soft
}

// addAlias reads "alias PATTERN MODULE".
func (t *Tree) addAlias(line string) {
	fields := strings.Fields(line)
	if len(fields) == 3 && fields[0] == "alias" {
		t.aliases = append(t.aliases, alias{globPattern(fields[1]), Normalize(fields[2])})
	}
}

// addBuiltinInfo reads "MODULE.KEY=VALUE".
func (t *Tree) addBuiltinInfo(line string) {
	key, value, _ := strings.Cut(line, "=")
	if module, ok := strings.CutSuffix(key, ".alias"); ok {
		t.builtinAliases = append(t.builtinAliases, alias{globPattern(value), Normalize(module)})
	}
}

// Builtin reports whether the kernel itself contains the module.
func (t *Tree) Builtin(name string) bool { return t.builtin[Normalize(name)] }

// InDir returns the normalized names of the modules among names whose files lie
// in the directory, for example "kernel/drivers/watchdog".
func (t *Tree) InDir(dir string, names []string) []string {
	var found []string
	for _, name := range names {
		name = Normalize(name)
		if strings.HasPrefix(t.files[name].path, dir+"/") {
			found = append(found, name)
		}
	}
	return found
}

// Resolve returns the normalized names of the modules that name stands for: the
// module itself, or those whose alias matches (name may be a modalias), or those
// that are built in and whose alias matches. An empty result means that the
// kernel has none.
func (t *Tree) Resolve(name string) []string {
	plain := strings.ReplaceAll(name, "-", "_")
	if _, ok := t.files[plain]; ok || t.builtin[plain] {
		return []string{plain}
	}
	text := globText(name)
	if found := matching(t.aliases, text); found != nil {
		return found
	}
	return matching(t.builtinAliases, text)
}

// matching returns the modules whose alias matches the text, each once.
func matching(aliases []alias, text string) (modules []string) {
	for _, a := range aliases {
		if globMatch(a.pattern, text) && !slices.Contains(modules, a.module) {
			modules = append(modules, a.module)
		}
	}
	return modules
}

// Closure returns the modules that the names stand for (see Resolve) and
// everything they need, in an order in which they can be loaded; built-in ones
// are left out. A name that leads to nothing is an error that wraps ErrNotFound;
// a soft dependency that leads to nothing is skipped, as modprobe does.
//
// Same tree and names, same result, whatever the order in the indexes.
func (t *Tree) Closure(names ...string) ([]Module, error) {
	c := closure{tree: t, state: map[string]visit{}}
	for _, name := range names {
		modules := t.Resolve(name)
		if len(modules) == 0 {
			return nil, fmt.Errorf("%s: %w in %s", name, ErrNotFound, t.dir)
		}
		for _, m := range modules {
			if err := c.add(m); err != nil {
				return nil, err
			}
		}
	}
	return c.order, nil
}

// closure is a depth-first walk over the dependencies.
type closure struct {
	tree  *Tree
	state map[string]visit
	order []Module
}

type visit int

const (
	unseen visit = iota
	underway
	done
)

// add appends the module called name to the order, behind what it needs.
func (c *closure) add(name string) (err error) {
	if c.tree.builtin[name] || c.state[name] == done {
		return nil
	}
	if c.state[name] == underway {
		return fmt.Errorf("%s/modules.dep: %s needs itself", c.tree.dir, name)
	}
	file, ok := c.tree.files[name]
	if !ok {
		return fmt.Errorf("%s: %w in %s/modules.dep", name, ErrNotFound, c.tree.dir)
	}
	c.state[name] = underway
	defer func() {
		if err != nil {
			c.state[name] = unseen
		}
	}()

	m := Module{Name: name, File: filepath.Join(c.tree.dir, file.path)}
	for _, need := range file.needs {
		if err := c.add(need); err != nil {
			return fmt.Errorf("%s needs %w", name, err)
		}
		m.Needs = append(m.Needs, need)
	}
	m.Needs = append(m.Needs, c.addSoft(c.tree.soft[name].pre)...)
	m.Needs = slices.DeleteFunc(m.Needs, func(need string) bool { return c.tree.builtin[need] })
	slices.Sort(m.Needs)
	m.Needs = slices.Compact(m.Needs)
	c.order = append(c.order, m)
	c.state[name] = done
	c.addSoft(c.tree.soft[name].post)
	return nil
}

// addSoft adds what it can of a module's wishes and returns their names.
func (c *closure) addSoft(wishes []string) (added []string) {
	for _, wish := range wishes {
		for _, name := range c.tree.Resolve(wish) {
			if c.add(name) == nil {
				added = append(added, name)
			}
		}
	}
	return added
}
