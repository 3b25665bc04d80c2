// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/config/shellvars"
)

const importHelp = `usage: kdumpctl import [--suse FILE | --debian FILE | --redhat FILE] [-o FILE]

Makes a kdump.conf of the configuration of another kdump and prints it:

  kdumpctl import -o /etc/kdump.conf

  --suse FILE     what SUSE's kdump has in /etc/sysconfig/kdump
  --debian FILE   what Debian's kdump-tools has in /etc/default/kdump-tools
  --redhat FILE   what Red Hat's kdump-utils has in /etc/sysconfig/kdump; its
                  kdump.conf is one already
  -o FILE         write to FILE, which must not exist yet

Without a file, the one of the running system is taken. Files are read, and not
executed: a value that only a shell could tell is not taken over. Each setting
is taken over, or named in a comment that says why not, and what serves instead.
`

// dialect is the configuration of another kdump.
type dialect struct {
	name string // whose
	flag string
	file string // where it usually is
	// keys returns its keys. Those that convert does not take over have the reason.
	keys    func() []foreignKey
	convert func(*conversion)
}

// foreignKey is a key of another kdump.
type foreignKey struct{ name, reason string }

func dialects() []dialect {
	return []dialect{
		{"SUSE's kdump", "suse", "/etc/sysconfig/kdump", suseKeys, convertSUSE},
		{"Debian's kdump-tools", "debian", "/etc/default/kdump-tools", debianKeys, convertDebian},
		{"Red Hat's kdump-utils", "redhat", "/etc/sysconfig/kdump", redHatKeys, func(*conversion) {}},
	}
}

func runImport(args []string, stdout, stderr io.Writer) error {
	var output string
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.StringVar(&output, "o", "", "")
	files := map[string]*string{}
	for _, d := range dialects() {
		files[d.flag] = flags.String(d.flag, "", "")
	}
	if err := parse(flags, args); err != nil {
		return err
	}
	d, file, err := chooseFile(files)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	vars, err := shellvars.Parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if d == nil {
		if d = recognize(vars); d == nil {
			return fmt.Errorf("%s has no setting of a kdump; say what it is with --suse, --debian or --redhat", file)
		}
	}
	c := newConversion(*d, file, vars)
	if n := len(c.left); n > 0 {
		fmt.Fprintf(stderr, "kdumpctl import: %d settings of %s are not taken over as they are; comments say why\n", n, file)
	}
	return writeOutput(output, c.text(), stdout)
}

// chooseFile returns the file to read, and what it is if that is said.
func chooseFile(files map[string]*string) (chosen *dialect, file string, err error) {
	for _, d := range dialects() {
		if name := *files[d.flag]; name != "" {
			if chosen != nil {
				return nil, "", fmt.Errorf("--%s and --%s exclude each other", chosen.flag, d.flag)
			}
			chosen, file = &d, name
		}
	}
	if chosen != nil {
		return chosen, file, nil
	}
	var tried []string
	for _, d := range dialects() {
		if _, err := os.Stat(d.file); err == nil {
			return nil, d.file, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
		tried = append(tried, d.file)
	}
	return nil, "", fmt.Errorf("this system has none of %s; name a file", strings.Join(slices.Compact(tried), ", "))
}

// recognize returns the dialect that knows most of the variables, nil if none knows
// any.
func recognize(vars []shellvars.Var) *dialect {
	var best *dialect
	most := 0
	for _, d := range dialects() {
		n := 0
		for _, key := range d.keys() {
			if slices.ContainsFunc(vars, func(v shellvars.Var) bool { return v.Name == key.name }) {
				n++
			}
		}
		if n > most {
			best, most = &d, n
		}
	}
	return best
}

func writeOutput(name, text string, stdout io.Writer) error {
	if name == "" {
		_, err := io.WriteString(stdout, text)
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

// conversion is a configuration under way from one grammar to the other.
type conversion struct {
	dialect dialect
	file    string
	vars    []shellvars.Var
	handled map[string]bool // variables that were taken over, or left for a reason
	lines   []string        // of kdump.conf
	left    []string        // what is not taken over, and why
}

func newConversion(d dialect, file string, vars []shellvars.Var) *conversion {
	c := &conversion{dialect: d, file: file, vars: vars, handled: map[string]bool{}}
	for _, v := range vars {
		if v.Computed != "" {
			c.leave(v.Name, fmt.Sprintf("only a shell could tell what %.60q is", v.Computed))
		}
	}
	d.convert(c)
	keys := d.keys()
	for _, v := range vars {
		if c.handled[v.Name] || v.Value == "" {
			continue
		}
		reason := d.name + " does not know it"
		if i := slices.IndexFunc(keys, func(k foreignKey) bool { return k.name == v.Name }); i >= 0 {
			reason = keys[i].reason
		}
		c.leave(v.Name, reason)
	}
	return c
}

// take returns the value of a variable that is to be taken over, "" if it is not
// set.
func (c *conversion) take(name string) string {
	if c.handled[name] {
		return ""
	}
	c.handled[name] = true
	i := slices.IndexFunc(c.vars, func(v shellvars.Var) bool { return v.Name == name })
	if i < 0 {
		return ""
	}
	return c.vars[i].Value
}

// leave says why a variable is not taken over.
func (c *conversion) leave(name, reason string) {
	c.handled[name] = true
	where := ""
	if i := slices.IndexFunc(c.vars, func(v shellvars.Var) bool { return v.Name == name }); i >= 0 {
		where = fmt.Sprintf(" (line %d)", c.vars[i].Line)
	}
	c.left = append(c.left, name+where+": "+reason)
}

// line adds a line that has the meaning of the variable. If that would be none that
// build takes, the variable is left and line reports false.
func (c *conversion) line(name, key, value string) bool {
	line := key + " " + value
	err := checkLine(line, value)
	if err == nil {
		_, err = config.Parse(config.Path, strings.Join(append(slices.Clone(c.lines), line), "\n"), checks())
	}
	if err != nil {
		text := err.Error()
		if _, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(text, "kdump.conf:") {
			text = rest
		}
		c.leave(name, text)
		return false
	}
	c.lines = append(c.lines, line)
	return true
}

// checkLine refuses values that would be read as others.
func checkLine(line, value string) error {
	switch {
	case strings.Contains(value, "#"):
		return errors.New("values in kdump.conf end at the first #")
	case strings.ContainsAny(value, "\n\r") || value != strings.TrimSpace(value):
		return fmt.Errorf("%.60q cannot be the value of a line", value)
	case len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"':
		return fmt.Errorf("%.60q loses its quotes in kdump.conf", value)
	}
	return nil
}

// text returns the kdump.conf.
func (c *conversion) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by kdumpctl import of %s, the configuration of %s.\n", printable(c.file), c.dialect.name)
	if len(c.left) > 0 {
		b.WriteString("#\n# What is not taken over as it is, and why:\n#\n")
	}
	for _, left := range c.left {
		fmt.Fprintf(&b, "#   %s\n", printable(left))
	}
	b.WriteString("\n")
	for _, line := range c.lines {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// printable returns s as a part of one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
