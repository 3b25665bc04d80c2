// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package shellvars reads files of assignments to shell variables, such as those in
// /etc/sysconfig and /etc/default. It is no shell: it undoes quoting as one does, and
// says which values only a shell could tell.
package shellvars

import (
	"fmt"
	"strings"
)

// Var is a variable that is assigned to.
type Var struct {
	Name  string
	Value string
	Line  int // of the last assignment
	// Computed is what in the value a shell would replace, for example "$(uname -r)";
	// "" if the value is just what it is.
	Computed string
}

// maxSize bounds the text that Parse accepts, in bytes.
const maxSize = 1 << 20

// Parse returns the variables of the text in the order of their first assignments.
// As in a shell, the last assignment counts, and += adds to the one before. Anything
// but an assignment is an error, which names the line.
func Parse(text string) ([]Var, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("larger than %d bytes, this is no such file", maxSize)
	}
	p := &parser{text: text, line: 1}
	var vars []Var
	at := map[string]int{}
	for p.skip() {
		v, adds, err := p.assignment()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", p.line, err)
		}
		i, known := at[v.Name]
		if !known {
			i = len(vars)
			at[v.Name] = i
			vars = append(vars, v)
		}
		if known && adds {
			v.Value = vars[i].Value + v.Value
			if v.Computed == "" {
				v.Computed = vars[i].Computed
			}
		}
		vars[i] = v
	}
	return vars, nil
}

// parser is a text and how far it is read.
type parser struct {
	text string // what is left
	line int
}

// next takes n bytes.
func (p *parser) next(n int) string {
	taken := p.text[:n]
	p.line += strings.Count(taken, "\n")
	p.text = p.text[n:]
	return taken
}

// skip goes to the next word, and reports whether there is one.
func (p *parser) skip() bool {
	for p.text != "" {
		switch c := p.text[0]; {
		case strings.HasPrefix(p.text, "\\\n"):
			p.next(2)
		case strings.IndexByte(" \t\r\n;", c) >= 0:
			p.next(1)
		case c == '#':
			line, _, _ := strings.Cut(p.text, "\n")
			p.next(len(line))
		case strings.HasPrefix(p.text, "export ") || strings.HasPrefix(p.text, "export\t"):
			p.next(len("export "))
		default:
			return true
		}
	}
	return false
}

// assignment reads NAME=VALUE or NAME+=VALUE.
func (p *parser) assignment() (v Var, adds bool, err error) {
	v.Line = p.line
	v.Name = p.text[:nameLength(p.text)]
	rest := p.text[len(v.Name):]
	adds = strings.HasPrefix(rest, "+=")
	if v.Name == "" || !adds && !strings.HasPrefix(rest, "=") {
		line, _, _ := strings.Cut(p.text, "\n")
		return v, false, fmt.Errorf("%.60q is no assignment, and commands are not run", line)
	}
	p.next(len(v.Name) + strings.IndexByte(rest, '=') + 1)
	w := word{parser: p}
	err = w.read()
	v.Value, v.Computed = w.value.String(), w.computed
	return v, adds, err
}

// nameLength returns how much of the beginning of s is the name of a variable.
func nameLength(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
		case c >= '0' && c <= '9' && i > 0:
		default:
			return i
		}
	}
	return len(s)
}

// word is a word of the shell's.
type word struct {
	*parser
	value    strings.Builder
	computed string
}

// read reads to the end of the word.
func (w *word) read() error {
	if strings.HasPrefix(w.text, "~") {
		w.computed = "~"
	}
	for w.text != "" {
		var err error
		switch c := w.text[0]; c {
		case ' ', '\t', '\r', '\n', ';':
			return nil
		case '|', '&', '<', '>', '(', ')':
			return fmt.Errorf("%q without quotes belongs to a command, and commands are not run", c)
		case '\'':
			err = w.single()
		case '"':
			err = w.double()
		case '\\':
			w.escape(w.text[1:])
		case '$', '`':
			err = w.expansion(false)
		default:
			w.value.WriteString(w.next(1))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// escape reads a backslash and what it protects.
func (w *word) escape(after string) {
	switch {
	case after == "":
		w.value.WriteString(w.next(1))
	case after[0] == '\n':
		w.next(2) // the line goes on
	default:
		w.value.WriteString(w.next(2)[1:])
	}
}

// single reads '…', in which everything means itself.
func (w *word) single() error {
	end := strings.IndexByte(w.text[1:], '\'')
	if end < 0 {
		return fmt.Errorf("the quote in %.60q is not closed", w.text)
	}
	w.value.WriteString(w.next(end + 2)[1 : end+1])
	return nil
}

// double reads "…", in which a backslash protects only what has a meaning there.
func (w *word) double() error {
	start := w.text
	w.next(1)
	for w.text != "" {
		switch c := w.text[0]; {
		case c == '"':
			w.next(1)
			return nil
		case c == '\\' && len(w.text) > 1 && strings.IndexByte("$`\"\\\n", w.text[1]) >= 0:
			w.escape(w.text[1:])
		case c == '$' || c == '`':
			if err := w.expansion(true); err != nil {
				return err
			}
		default:
			w.value.WriteString(w.next(1))
		}
	}
	return fmt.Errorf("the quote in %.60q is not closed", start)
}

// expansion reads what a shell would replace, or a $ that stands for itself.
func (w *word) expansion(quoted bool) error {
	length, err := expansionLength(w.text, quoted)
	if err != nil {
		return err
	}
	text := w.next(length)
	if text == "$" {
		w.value.WriteString(text)
		return nil
	}
	if w.computed == "" {
		w.computed = text
	}
	return nil
}

// expansionLength returns how long the expansion at the beginning of s is. A $ that
// begins none has the length 1.
func expansionLength(s string, quoted bool) (int, error) {
	if s[0] == '`' {
		return closed(s, 1, 0, '`')
	}
	if len(s) == 1 {
		return 1, nil
	}
	switch c := s[1]; {
	case c == '(':
		return closed(s, 2, '(', ')')
	case c == '{':
		return closed(s, 2, '{', '}')
	case !quoted && (c == '\'' || c == '"'): // other kinds of quotes
		return closed(s, 2, 0, c)
	case strings.IndexByte("0123456789@*#?$!-", c) >= 0:
		return 2, nil
	}
	return 1 + nameLength(s[1:]), nil
}

// closed returns the length of s up to its closing delimiter, from the byte at start
// on. What the delimiters open and close again in between is skipped.
func closed(s string, start int, open, end byte) (int, error) {
	depth := 1
	for i := start; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == end:
			if depth--; depth == 0 {
				return i + 1, nil
			}
		case c == open:
			depth++
		}
	}
	return 0, fmt.Errorf("%.60q is not closed by %q", s, end)
}
