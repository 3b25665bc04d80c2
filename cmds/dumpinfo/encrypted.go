// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dumpinfo

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

// ageMagic is the first line of a file encrypted with age, see
// https://age-encryption.org/v1.
const ageMagic = "age-encryption.org/v1\n"

// maxStanzas bounds how many recipients are counted.
const maxStanzas = 1000

// openOne opens a core in one file. Of an encrypted one it says how it is opened.
func openOne(path string) (*vmcore.Core, error) {
	core, err := vmcore.Open(path)
	if !errors.Is(err, vmcore.ErrUnknownFormat) {
		return core, err
	}
	if n, ok := countRecipients(path); ok {
		out := strings.TrimSuffix(path, ".age")
		return nil, fmt.Errorf("%s is encrypted with age, to %d public keys; who has one of the private keys decrypts it with "+
			"age -d -i KEYFILE -o %s %s (crash opens the result; makedumpfile -R vmcore < %s makes an ordinary dump of it)",
			path, n, out, path, out)
	}
	return nil, err
}

// countRecipients returns to how many keys a file is encrypted; not ok if it is
// not encrypted with age.
func countRecipients(path string) (n int, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if magic, err := r.Peek(len(ageMagic)); err != nil || string(magic) != ageMagic {
		return 0, false
	}
	for n < maxStanzas {
		line, err := r.ReadSlice('\n')
		if err != nil || strings.HasPrefix(string(line), "---") {
			break
		}
		if strings.HasPrefix(string(line), "-> ") && !strings.HasSuffix(string(line), "-grease\n") {
			n++
		}
	}
	return n, true
}
