// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/target/s3/s3test"
	"github.com/ukdump/ukdump/pkg/target/servertest"
	"github.com/ukdump/ukdump/pkg/target/ssh/sshdtest"
	"github.com/ukdump/ukdump/vmtest"
)

// kinds are what is measured.
func kinds() []kind {
	return []kind{
		{"ssh", sshd},
		{"nfs, disks", directory},
		{"https, PUT", nginx},
		{"https, tus", func(t testing.TB) server { return kdumprecv(t, "https") }},
		{"http, tus", func(t testing.TB) server { return kdumprecv(t, "http") }},
		{"s3, https", func(t testing.TB) server { return versity(t, "https") }},
		{"s3, http", func(t testing.TB) server { return versity(t, "http") }},
	}
}

// sshd is OpenSSH's server, with its own clients: as they are, and with the cipher
// that ukdump prefers.
func sshd(t testing.TB) server {
	s := sshdtest.New(t)
	known, dumps := s.Path("known_hosts"), s.Path("dumps")
	mustWrite(t, known, sshdtest.Host(s.Port)+" "+s.Public(t, "host")+"\n")
	if err := os.Mkdir(dumps, 0o700); err != nil {
		t.Fatal(err)
	}
	to := fmt.Sprintf("%s@127.0.0.1:%s/", s.User, dumps)
	common := []string{"-q", "-P", fmt.Sprint(s.Port), "-i", s.Path("client"), "-o", "UserKnownHostsFile=" + known}
	with := func(name string, args ...string) []string { return append(append([]string{name}, common...), args...) }
	const gcm = "aes128-gcm@openssh.com"
	return server{
		conf: fmt.Sprintf("ssh %s@127.0.0.1:%d\npath %s\nsshkey %s\nssh_known_hosts %s\n",
			s.User, s.Port, dumps, s.Path("client"), known),
		store: dumps,
		rivals: []client{
			{label: "scp", command: with("scp", "FILE", to)},
			{label: "scp -c " + gcm, command: with("scp", "-c", gcm, "FILE", to)},
			{label: "sftp", command: with("sftp", "-b", "-", to), input: "put FILE\n"},
			{label: "sftp -c " + gcm, command: with("sftp", "-c", gcm, "-b", "-", to), input: "put FILE\n"},
		},
	}
}

func mustWrite(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// directory is what a mounted file system is to the program, as of NFS.
func directory(t testing.TB) server {
	dir := t.TempDir()
	return server{conf: "nfs 127.0.0.1:/srv\npath " + dir + "\n", store: dir}
}

// nginx is a web server that takes PUT requests.
func nginx(t testing.TB) server {
	s := servertest.Nginx(t, "")
	url := fmt.Sprintf("https://%s/", s.Address())
	return server{
		conf:   fmt.Sprintf("http %s\ntls_ca %s\n", url, s.Path("cert.pem")),
		store:  filepath.Join(s.Store, "dumps"),
		rivals: []client{curl("curl -T", url, s)},
	}
}

// curl returns the client that sends the file with one request.
func curl(label, url string, s *servertest.Server, args ...string) client {
	command := []string{"curl", "-sS", "--fail-with-body", "-o", "/dev/null", "--cacert", s.Path("cert.pem"), "-T", "FILE"}
	return client{label: label, command: append(append(command, args...), url+"NEW/vmcore")}
}

// kdumprecv is our own server; curl speaks no tus, and sends PUT requests to it.
func kdumprecv(t testing.TB, scheme string) server {
	s := servertest.New(t, "")
	args := []string{"--no-tls"}
	if scheme == "https" {
		args = []string{"--cert", s.Path("cert.pem"), "--key", s.Path("key.pem")}
	}
	command := []string{filepath.Join(vmtest.Build, "ukdump"), "kdumprecv", "--no-auth", "--quota", "100T", "--dir", s.Store,
		"--listen", s.Address()}
	s.Run(t, append(command, args...)...)
	url := fmt.Sprintf("%s://%s/", scheme, s.Address())
	conf := "http " + url + "\n"
	if scheme == "https" {
		conf += "tls_ca " + s.Path("cert.pem") + "\n"
	}
	return server{conf: conf, store: s.Store, rivals: []client{curl("curl -T", url, s)}}
}

// versity is an S3 server. One request has the whole file, which curl signs as
// ukdump does: over TLS without a hash of the body, which on other connections it
// has to be told.
func versity(t testing.TB, scheme string) server {
	s := servertest.New(t, "")
	var args []string
	conf := ""
	if scheme == "https" {
		args = []string{"--cert", s.Path("cert.pem"), "--key", s.Path("key.pem")}
		conf = "tls_ca " + s.Path("cert.pem") + "\n"
	}
	store := s3test.New(t, s.Store, args...)
	url := fmt.Sprintf("%s://%s/%s/", scheme, store.Address(), s3test.Bucket)
	s.Write(t, "credentials", s3test.Credentials)
	sign := []string{"--aws-sigv4", "aws:amz:us-east-1:s3", "--user", s3test.Access + ":" + s3test.Secret, "-H"}
	unsigned := curl("curl -T", url, s, append(sign, "x-amz-content-sha256: UNSIGNED-PAYLOAD")...)
	rivals := []client{unsigned}
	if scheme == "http" {
		signed := curl("openssl dgst and curl -T", url, s, sign[:len(sign)-1]...)
		script := `exec "$@" -H "x-amz-content-sha256: $(openssl dgst -sha256 -r FILE | cut -c 1-64)"`
		signed.command = append([]string{"sh", "-c", script, "sh"}, signed.command...)
		unsigned.label = "curl -T, without a hash"
		rivals = []client{signed, unsigned}
	}
	return server{
		conf:   fmt.Sprintf("s3 %s\ns3_credentials %s\n%s", strings.TrimSuffix(url, "/"), s.Path("credentials"), conf),
		store:  filepath.Join(s.Store, s3test.Bucket),
		rivals: rivals,
	}
}
