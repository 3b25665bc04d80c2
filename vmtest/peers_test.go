// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/ukdump/ukdump/pkg/target/s3/s3test"
	"github.com/ukdump/ukdump/pkg/target/servertest"
	"github.com/ukdump/ukdump/pkg/target/ssh/sshdtest"
)

// peer is a server that a machine saves its dump to. It is on loopback, which the
// machine knows as 10.0.2.2.
type peer struct {
	server
	freeze func()   // has the server do nothing any more; it still gets connections
	store  string   // where the server keeps what it gets
	target []string // lines of kdump.conf
	wrong  []string // the same for whoever expects another server there
	steps  []string // that give the machine the files of these lines
	saved  string   // where the directories of dumps are
	// fetch, if not nil, has a client of the server fetch these directories, and
	// returns where they are then.
	fetch func(*testing.T) string
}

// server is what can happen to a server.
type server interface {
	// Start starts it again, and waits until it takes connections.
	Start(testing.TB)
	// Stop kills it, as far as it runs.
	Stop()
}

// newPeer returns a peer whose dumps are in the directory below its server's store.
func newPeer(s *servertest.Server, dumps string) *peer {
	freeze := func() { s.Signal(syscall.SIGSTOP) }
	return &peer{server: s, freeze: freeze, store: s.Store, saved: filepath.Join(s.Store, dumps)}
}

// give has the machine get a text file, by a step.
func (p *peer) give(path, text string) {
	p.steps = append(p.steps, "write "+path+" "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "|"))
}

// peers start one of a kind until the test ends, or skip. A size, as mount takes
// it, is that of the file system that the server keeps dumps in.
var peers = map[Server]func(t *testing.T, size string) *peer{
	SSHServer: serveSSH, NFSServer: serveNFS, NFS3Server: serveNFS3, PutServer: servePut, TusServer: serveTus, BucketServer: serveBucket, S3Server: serveS3,
}

func serveSSH(t *testing.T, size string) *peer {
	s := sshdtest.New(t)
	p := newPeer(servertest.New(t, size), "")
	p.server, p.freeze = s, s.Freeze
	p.give("/root/key", string(s.Key(t, "client")))
	hosts := fmt.Sprintf("[10.0.2.2]:%d,[fec0::2]:%[1]d,[dumps.test]:%[1]d,[%[2]s]:%[1]d", s.Port, noSuchName)
	p.give("/root/hosts", hosts+" "+s.Public(t, "host"))
	p.give("/root/others", strings.Split(hosts, ",")[0]+" "+s.Public(t, "other"))
	lines := func(hosts string) []string {
		return []string{fmt.Sprintf("ssh %s@10.0.2.2:%d", s.User, s.Port), "path " + p.store, "sshkey /root/key", "ssh_known_hosts " + hosts}
	}
	p.target, p.wrong = lines("/root/hosts"), lines("/root/others")
	return p
}

func serveNFS(t *testing.T, size string) *peer { return nfsPeer(servertest.Ganesha(t, size)) }

func serveNFS3(t *testing.T, size string) *peer { return nfsPeer(servertest.Ganesha3(t, size)) }

// nfsPeer has no server that is wrong: nothing tells one from another.
func nfsPeer(s *servertest.Server) *peer {
	p := newPeer(s, "dumps")
	p.target = []string{"nfs 10.0.2.2:/srv", "path /dumps"}
	return p
}

func servePut(t *testing.T, size string) *peer {
	s := servertest.Nginx(t, size)
	p := newPeer(s, "dumps")
	url := fmt.Sprintf("http https://10.0.2.2:%d/", s.Port)
	p.target, p.wrong = []string{url, "tls_pin " + s.Pin}, []string{url, "tls_pin " + otherPin}
	return p
}

// otherPin is nobody's.
var otherPin = "sha256//" + base64.StdEncoding.EncodeToString(make([]byte, 32))

// serveTus has our kdumprecv.
func serveTus(t *testing.T, size string) *peer {
	s := servertest.New(t, size)
	return receiverPeer(t, s, "web1", "--dir", s.Store, "--keep-free", "1M")
}

// serveBucket has kdumprecv in front of an object store, the store of which is the
// one that the test looks at. One that is started again knows no more than any other
// receiver in front of this bucket.
func serveBucket(t *testing.T, size string) *peer {
	s := servertest.New(t, size)
	store := s3test.New(t, s.Store)
	s.Write(t, "credentials", s3test.Credentials)
	p := receiverPeer(t, s, s3test.Bucket+"/fleet/web1", "--bucket", "http://"+store.Address()+"/"+s3test.Bucket+"/fleet",
		"--s3-credentials", s.Path("credentials"))
	p.fetch = func(t *testing.T) string { return fetchBucket(t, store, "fleet/web1/") }
	return p
}

// receiverPeer starts kdumprecv. Its dumps are below the store of s.
func receiverPeer(t *testing.T, s *servertest.Server, dumps string, args ...string) *peer {
	other := servertest.New(t, "")
	token, line, _ := strings.Cut(output(t, ukdump(t), "kdumprecv", "token", "web1"), "\n")
	s.Write(t, "tokens", "%s", line)
	s.Run(t, append([]string{ukdump(t), "kdumprecv", "--listen", s.Address(),
		"--cert", s.Path("cert.pem"), "--key", s.Path("key.pem"), "--tokens", s.Path("tokens")}, args...)...)
	p := newPeer(s, dumps)
	p.give("/root/ca", readFile(t, s.Path("cert.pem")))
	p.give("/root/others", readFile(t, other.Path("cert.pem")))
	p.give("/root/token", token)
	lines := func(ca string) []string {
		return []string{fmt.Sprintf("http https://10.0.2.2:%d/", s.Port), "tls_ca " + ca, "http_token /root/token"}
	}
	p.target, p.wrong = lines("/root/ca"), lines("/root/others")
	return p
}

// fetchBucket has another client fetch the objects with the prefix, to a directory
// that is returned.
func fetchBucket(t *testing.T, store *s3test.Server, prefix string) string {
	t.Helper()
	client, err := minio.New(store.Address(), &minio.Options{Creds: credentials.NewStaticV4(s3test.Access, s3test.Secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for object := range client.ListObjects(t.Context(), s3test.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		name := strings.TrimPrefix(object.Key, prefix)
		if object.Err != nil || !filepath.IsLocal(name) {
			t.Fatalf("%q in the bucket, %v", object.Key, object.Err)
		}
		if err := client.FGetObject(t.Context(), s3test.Bucket, object.Key, filepath.Join(dir, name), minio.GetObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func serveS3(t *testing.T, size string) *peer {
	s := servertest.New(t, size)
	store := s3test.New(t, s.Store, "--cert", s.Path("cert.pem"), "--key", s.Path("key.pem"))
	p := newPeer(s, s3test.Bucket+"/crash")
	p.server, p.freeze = store, func() { store.Signal(syscall.SIGSTOP) }
	p.give("/root/s3", s3test.Credentials)
	lines := func(pin string) []string {
		return []string{fmt.Sprintf("s3 https://10.0.2.2:%d/%s/crash", store.Port, s3test.Bucket), "s3_credentials /root/s3", "tls_pin " + pin}
	}
	p.target, p.wrong = lines(s.Pin), lines(otherPin)
	return p
}
