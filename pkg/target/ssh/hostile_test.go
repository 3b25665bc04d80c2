// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package ssh

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pkg/sftp"
)

// talk is what is said to a server by SFTP in the life of a dump, whatever it
// answers.
func talk(c *sftp.Client, dir string) error {
	d := filepath.Join(dir, "dumps/dump")
	_, freeErr := freeSpace(c, dir)
	errs := []error{makeParents(c, d), freeErr, replaceNote(c, filepath.Join(d, "note"), []byte("text"))}
	h, err := create(c, filepath.Join(d, "vmcore"))
	if err == nil {
		_, writeErr := h.WriteAt([]byte("dump"), 5)
		_, statErr := h.Stat()
		readErr := c.Remove(filepath.Join(d, "nothing"))
		if answered(readErr) {
			readErr = nil
		}
		errs = append(errs, writeErr, statErr, readErr, syncFile(c, h), h.Close(),
			renameNew(c, filepath.Join(d, "vmcore"), filepath.Join(d, "other")), syncDir(c, d))
	}
	note, openErr := c.Open(filepath.Join(d, "note"))
	if openErr == nil {
		_, openErr = io.ReadAll(note)
	}
	return errors.Join(append(errs, err, openErr)...)
}

// recorded returns what OpenSSH's server answers to talk; nothing if it is not
// installed.
func recorded(t testing.TB) []byte {
	var answers bytes.Buffer
	cmd := exec.Command("/usr/lib/openssh/sftp-server")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		return nil
	}
	defer cmd.Wait()
	c, err := sftp.NewClientPipe(io.TeeReader(out, &answers), in, sftp.UseConcurrentReads(false))
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(c, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	return answers.Bytes()
}

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// FuzzReplies has a server that answers anything.
func FuzzReplies(f *testing.F) {
	if answers := recorded(f); answers != nil {
		f.Add(answers)
		for i := range 20 {
			damaged := bytes.Clone(answers)
			damaged[i*len(damaged)/20] ^= 0xff
			f.Add(damaged)
		}
	}
	f.Add([]byte("\x00\x00\x00\x05\x02\x00\x00\x00\x03\xff\xff\xff\xff")) // the longest packet
	f.Add([]byte("\x00\x00\x00\x05\x02\x00\x00\x00\x03\x00\x00\x00\x05\x65\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, answers []byte) {
		c, err := sftp.NewClientPipe(bytes.NewReader(answers), discard{io.Discard}, sftp.UseConcurrentReads(false))
		if err != nil {
			return
		}
		defer c.Close()
		defer func() { _ = recover() }() // as Store.try does
		_ = talk(c, "/srv")
	})
}
