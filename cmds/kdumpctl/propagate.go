// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	crypto "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target/ssh"
)

const propagateHelp = `usage: kdumpctl propagate [--accept] [--config FILE]

Sets up the servers that are ssh targets in /etc/kdump.conf, so that they take
the dumps of this machine. Of each it

  - makes the private key that sshkey names, if there is none;
  - adds the server's host key to the file that ssh_known_hosts names, after it
    has shown the fingerprint and asked whether that is right;
  - has the server take the key, for SFTP only: it adds it to the file
    .ssh/authorized_keys there. To do so it needs another way in: keys of an
    ssh-agent or in ~/.ssh, or a password, for which it asks;
  - makes a directory where dumps would go, and removes it.

What has been done is left alone, so it may be run again. Then kdumpctl build
packs the keys into the image.

  --accept       add host keys without asking
  --config FILE  instead of /etc/kdump.conf

On the server, the right fingerprint can be had with
ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
`

// serverTime bounds the talk with a server in which nobody has to type anything,
// loginTime that in which somebody has.
const (
	serverTime = 30 * time.Second
	loginTime  = 2 * time.Minute
)

func runPropagate(args []string, stdout, _ io.Writer) error {
	flags := flag.NewFlagSet("propagate", flag.ContinueOnError)
	accept := flags.Bool("accept", false, "")
	file := flags.String("config", config.Path, "")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg, err := readConfig(*file, checks())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	p := propagation{accept: *accept, terminal: "/dev/tty", out: stdout}
	found := false
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; t.Kind == "ssh" {
			found = true
			if e := p.setUp(ctx, t); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", t.Address, e))
			}
		}
	}
	if !found {
		return fmt.Errorf("%s has no ssh target; such as: ssh kdump@dumps.example.org", *file)
	}
	return err
}

// propagation is how servers are set up.
type propagation struct {
	accept   bool     // host keys, without asking
	terminal terminal // where somebody may be asked
	out      io.Writer
}

// setUp sets up the server of a target.
func (p propagation) setUp(ctx context.Context, t *config.Target) error {
	if err := completeFiles(t); err != nil {
		return err
	}
	o, err := ssh.Parse(t.Address)
	if err != nil {
		return err
	}
	o.Dir, o.KnownHosts = t.Dir, t.KnownHosts
	if o.Key, err = p.key(t.SSHKey); err != nil {
		return err
	}
	if err := p.trust(ctx, o); err != nil {
		return err
	}
	err = probe(ctx, o)
	if errors.Is(err, ssh.ErrLogin) {
		if err := p.authorize(ctx, o, t.SSHKey); err != nil {
			return err
		}
		err = probe(ctx, o)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s takes dumps into %s\n", t.Address, o.Dir)
	return nil
}

func probe(ctx context.Context, o ssh.Options) error {
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	return ssh.Probe(ctx, o)
}

// key returns the private key in a file, which it makes if it is missing.
func (p propagation) key(file string) ([]byte, error) {
	key, err := readSmall(file, true)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	block, err := crypto.MarshalPrivateKey(private, "kdump@"+host)
	if err != nil {
		return nil, err
	}
	line, err := crypto.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	key = pem.EncodeToMemory(block)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	if err := writeNew(file, key, 0o600); err != nil {
		return nil, err
	}
	fmt.Fprintf(p.out, "made the key %s, %s\n", file, ssh.Fingerprint(line))
	text := strings.TrimSpace(string(crypto.MarshalAuthorizedKey(line))) + " kdump@" + host + "\n"
	return key, os.WriteFile(file+".pub", []byte(text), 0o644)
}

// writeNew writes a file that must not be there.
func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// trust adds the server's key to the known ones, if it is right.
func (p propagation) trust(ctx context.Context, o ssh.Options) error {
	short, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	key, trusted, err := ssh.HostKey(short, o)
	if trusted || err != nil {
		return err
	}
	fmt.Fprintf(p.out, "the host key of %s is %s\n", o.Host, ssh.Fingerprint(key))
	if !p.accept {
		answer, err := p.terminal.ask(ctx, "Is that the server's key? (yes/no) ", false)
		if err != nil {
			return fmt.Errorf("nobody can say whether that is right, which --accept would do: %w", err)
		}
		if answer != "yes" {
			return fmt.Errorf("the host key was not accepted: %s stays as it is", o.KnownHosts)
		}
	}
	return ssh.Trust(o, key)
}

// authorize has the server take the key.
func (p propagation) authorize(ctx context.Context, o ssh.Options, file string) error {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	login := ssh.Login{Signers: homeKeys()}
	if keys, hangUp := agentKeys(); hangUp != nil {
		defer hangUp()
		login.Signers = append(keys, login.Signers...)
	}
	login.Signers = login.Signers[:min(len(login.Signers), maxSigners)]
	if p.terminal.there() {
		login.Ask = func(question string, secret bool) (string, error) { return p.terminal.ask(ctx, question, secret) }
	}
	if err := ssh.Authorize(ctx, o, login); err != nil {
		return fmt.Errorf("installing the key there: %w (from where you can log in, it is: ssh-copy-id -i %s.pub%s %s@%s)",
			err, file, portOption(o), o.User, o.Host)
	}
	fmt.Fprintf(p.out, "%s@%s takes the key now\n", o.User, o.Host)
	return nil
}

func portOption(o ssh.Options) string {
	if o.Port == 0 {
		return ""
	}
	return fmt.Sprintf(" -p %d", o.Port)
}

// maxSigners is how many keys are tried: servers hang up after six failures, and
// the password is to have its chance.
const maxSigners = 3

// agentKeys returns the keys of the ssh-agent and what ends the connection to it;
// nil if there is none.
func agentKeys() (keys []crypto.Signer, hangUp func()) {
	conn, err := net.DialTimeout("unix", os.Getenv("SSH_AUTH_SOCK"), serverTime)
	if err != nil {
		return nil, nil
	}
	_ = conn.SetDeadline(time.Now().Add(loginTime))
	keys, _ = agent.NewClient(conn).Signers()
	return keys, func() { conn.Close() }
}

// homeKeys returns the keys in the usual files that have no passphrase.
func homeKeys() []crypto.Signer {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	var keys []crypto.Signer
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		text, err := readSmall(filepath.Join(home, ".ssh", name), true)
		if err != nil {
			continue
		}
		if key, err := crypto.ParsePrivateKey(text); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}
