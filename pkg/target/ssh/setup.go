// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// What is in this file sets up a server before it is needed.

// HostKey connects to the server as far as it shows its key, and returns that, and
// whether the file Options.KnownHosts has it. It is an error if the file, which may
// be missing, has another one.
func HostKey(ctx context.Context, o Options) (key ssh.PublicKey, trusted bool, err error) {
	h, err := readHosts(o.KnownHosts)
	if errors.Is(err, fs.ErrNotExist) {
		h, err = noHosts(o.KnownHosts)
	}
	if err != nil {
		return nil, false, err
	}
	config := h.config(o)
	if config.HostKeyAlgorithms == nil {
		config.HostKeyAlgorithms = preferred()
	}
	var verdict error
	config.HostKeyCallback = func(address string, remote net.Addr, shown ssh.PublicKey) error {
		key, verdict = shown, h.check(address, remote, shown)
		return errors.New("seen")
	}
	if _, err := connect(ctx, o.address(), config); key == nil {
		return nil, false, err
	}
	if errors.Is(verdict, errUnknownHost) {
		return key, false, nil
	}
	return key, verdict == nil, verdict
}

// noHosts returns what a file that is not there says.
func noHosts(file string) (*hosts, error) {
	known, err := knownhosts.New()
	return &hosts{file: file, known: known}, err
}

// preferred returns which of its keys a server is asked for: one that we can show
// people and write down, rather than a certificate, and the one that most have.
func preferred() []string {
	plain := slices.DeleteFunc(ssh.SupportedAlgorithms().HostKeys, func(name string) bool { return strings.Contains(name, "-cert-") })
	return append([]string{ssh.KeyAlgoED25519}, plain...)
}

// Trust adds the server's key to the file Options.KnownHosts, which is made if it
// is missing.
func Trust(o Options, key ssh.PublicKey) error {
	if err := os.MkdirAll(filepath.Dir(o.KnownHosts), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(o.KnownHosts, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = appendLine(f, knownhosts.Line([]string{knownhosts.Normalize(o.address())}, key))
	return errors.Join(err, f.Close())
}

// appendLine adds a line to a file, which may lack the end of its last.
func appendLine(f interface {
	io.ReadWriteSeeker
	io.WriterAt
}, line string) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if end > 0 {
		last := make([]byte, 1)
		if _, err := f.Seek(end-1, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.ReadFull(f, last); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteAt([]byte(line+"\n"), end)
	return err
}

// Login connects by other means than Options.Key.
type Login struct {
	// Signers are further keys; Ask, unless it is nil, asks a person for what the
	// server wants to know, for example a password.
	Signers []ssh.Signer
	Ask     func(question string, secret bool) (string, error)
}

// asks is how often a person may mistype.
const asks = 3

func (l Login) methods(o Options) []ssh.AuthMethod {
	methods := []ssh.AuthMethod{ssh.PublicKeys(l.Signers...)}
	if l.Ask == nil {
		return methods
	}
	password := func() (string, error) {
		return l.Ask(fmt.Sprintf("Password of %s@%s: ", o.User, o.Host), true)
	}
	// So servers ask that look passwords up in several places.
	answer := func(_, instruction string, questions []string, echos []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i, question := range questions {
			var err error
			if answers[i], err = l.Ask(strings.TrimLeft(instruction+"\n", "\n")+question, !echos[i]); err != nil {
				return nil, err
			}
		}
		return answers, nil
	}
	return append(methods, ssh.RetryableAuthMethod(ssh.PasswordCallback(password), asks),
		ssh.RetryableAuthMethod(ssh.KeyboardInteractive(answer), asks))
}

// authorizedKeys is where OpenSSH's server looks for keys that users have, below
// their home directories, which is where SFTP begins.
const authorizedKeys = ".ssh/authorized_keys"

// maxKeys bounds how much of that file is read, in bytes.
const maxKeys = 4 << 20

// Authorize has the server take Options.Key from now on, for SFTP and nothing else:
// the key will lie in images, where nobody can protect it with a passphrase.
func Authorize(ctx context.Context, o Options, login Login) error {
	signer, err := parseKey(o.Key)
	if err != nil {
		return err
	}
	h, err := readHosts(o.KnownHosts)
	if err != nil {
		return err
	}
	c, err := connect(ctx, o.address(), h.config(o, login.methods(o)...))
	if err != nil {
		return err
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	host, _ := os.Hostname()
	if err := authorize(c.sftp, signer.PublicKey(), host); err != nil {
		return fmt.Errorf("%s: %w", o.at(authorizedKeys), err)
	}
	return nil
}

// authorize adds a key to the file, unless it has it.
func authorize(c *sftp.Client, key ssh.PublicKey, host string) error {
	if _, err := c.Lstat(path.Dir(authorizedKeys)); errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(c, path.Dir(authorizedKeys)); err != nil {
			return err
		}
	}
	f, err := c.OpenFile(authorizedKeys, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = create(c, authorizedKeys)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeys))
	if err != nil {
		return err
	}
	if hasKey(text, key) {
		return nil
	}
	line := `restrict,command="internal-sftp" ` + string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
	return errors.Join(appendLine(f, line+" kdump@"+host), syncFile(c, f))
}

// hasKey reports whether a key is in the text of an authorized_keys file.
func hasKey(text []byte, key ssh.PublicKey) bool {
	for len(text) > 0 {
		found, _, _, rest, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			return false
		}
		if bytes.Equal(found.Marshal(), key.Marshal()) {
			return true
		}
		text = rest
	}
	return false
}

// Probe makes a directory with a file in it, as for a dump, and removes both. The
// error wraps ErrLogin if the server does not take the key.
func Probe(ctx context.Context, o Options) error {
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	made, err := s.Make(ctx, "kdumpctl-propagate")
	if err != nil {
		return err
	}
	dir := made.(*Dir)
	return errors.Join(probeFile(ctx, dir), s.do(ctx, func(c *sftp.Client) error {
		if err := c.RemoveDirectory(dir.path); err != nil {
			return fmt.Errorf("removing %v: %w", dir, err)
		}
		return nil
	}))
}

// probeFile writes a file and removes it.
func probeFile(ctx context.Context, dir *Dir) error {
	const name = "test"
	f, err := dir.Create(ctx, name, 0)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(f, "test\n"); err != nil {
		return errors.Join(err, f.Abort())
	}
	if err := f.Commit(); err != nil {
		return err
	}
	return dir.store.do(ctx, func(c *sftp.Client) error { return c.Remove(path.Join(dir.path, name)) })
}
