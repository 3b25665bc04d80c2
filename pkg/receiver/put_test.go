// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// put sends a file with curl -T, whose name has to be right as it is.
func put(t *testing.T, url string, text []byte, args ...string) (status string) {
	t.Helper()
	status, _ = curl(t, text, append([]string{"-T", "-", "--path-as-is", url}, args...)...)
	return status
}

func TestPut(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		_, server := serve(t, o)
		big := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
		for _, test := range []struct {
			name string
			text []byte
			args []string
		}{
			{"small", []byte("hello"), nil},
			{"length", []byte("hello"), []string{"-H", "Content-Length: 5", "-H", "Transfer-Encoding:"}},
			{"empty", nil, nil},
			{"big", big, nil},
		} {
			url := server.URL + "/any/where/dump/" + test.name
			if status := put(t, url, test.text, test.args...); status != "201" {
				t.Fatalf("PUT of %s: %s", test.name, status)
			}
			file := filepath.Join(dir, "web1/dump", test.name)
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, test.text) {
				t.Errorf("%s has %d bytes, %v, want %d", test.name, len(got), err, len(test.text))
			}
			if status := put(t, url, []byte("other")); status != "409" {
				t.Errorf("PUT of %s, which is there: %s, want 409", test.name, status)
			}
			if status := put(t, url, []byte("other"), "-H", "If-None-Match: *"); status != "412" {
				t.Errorf("PUT of %s on condition that it is not there: %s, want 412", test.name, status)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, test.text) {
				t.Errorf("%s was replaced: %d bytes, %v", test.name, len(got), err)
			}
		}
	})
}

func TestPutHostile(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		o.MachineQuota = 100
		r, server := serve(t, o)
		for path, want := range map[string]string{
			"/":                      "400",
			"/x":                     "400",
			"/../x":                  "400",
			"/a/..":                  "400",
			"/../../etc/passwd":      "201", // in our directory etc
			"/a/../b":                "400",
			"/a/%2e%2e%2fb":          "400",
			"/a/.b":                  "400",
			"/.uploads/b":            "400",
			"/a/b-incomplete":        "400",
			"/a/b%00":                "400",
			"/a%5cb/c":               "400",
			"/a/" + longName:         "400",
			"/" + longName + "/file": "400",
		} {
			if status := put(t, server.URL+path, []byte("x")); status != want {
				t.Errorf("PUT of %.60q: %s, want %s", path, status, want)
			}
		}
		if text, err := os.ReadFile(filepath.Join(dir, "web1/etc/passwd")); err != nil || string(text) != "x" {
			t.Errorf("web1/etc/passwd has %q, %v", text, err)
		}
		if status := put(t, server.URL+"/a/b", []byte("x"), "-H", "Content-Range: bytes 1-1/2"); status != "400" {
			t.Errorf("a part: %s, want 400", status)
		}
		came := r.Stats.Bytes.Load()
		if status := put(t, server.URL+"/a/b", make([]byte, 101), "-H", "Content-Length: 101", "-H", "Transfer-Encoding:"); status != "507" {
			t.Errorf("a length beyond the quota: %s, want 507", status)
		}
		if now := r.Stats.Bytes.Load(); now != came {
			t.Errorf("%d bytes were taken of it", now-came)
		}
		if status := put(t, server.URL+"/a/b", make([]byte, 101)); status != "507" {
			t.Errorf("more than the quota: %s, want 507", status)
		}
		if status := put(t, server.URL+"/a/b", make([]byte, 99)); status != "201" {
			t.Errorf("as much as the quota: %s, want 201", status)
		}
	})
}

var longName = strings.Repeat("a", maxName+1)

// TestPutBreaksOff has a client that goes away in the middle, and comes back.
func TestPutBreaksOff(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		_, server := serve(t, o)
		for name, header := range map[string]string{
			"length":  "Content-Length: 10\r\n\r\n01234",
			"chunked": "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
		} {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "PUT /dump/%s HTTP/1.1\r\nHost: x\r\n%s", name, header)
			conn.(*net.TCPConn).CloseWrite()
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			answer, err := io.ReadAll(conn)
			conn.Close()
			if err != nil || strings.HasPrefix(string(answer), "HTTP/1.1 2") {
				t.Errorf("%s: half a file: %.40q, %v, want an error", name, answer, err)
			}
			file := filepath.Join(dir, "web1/dump", name)
			if _, err := os.Stat(file); err == nil {
				t.Errorf("%s: half a file has its final name", name)
			}
			if o.Dir != "" {
				if got, err := os.ReadFile(file + "-incomplete"); string(got) != "01234" {
					t.Errorf("%s-incomplete has %q, %v, want 01234", name, got, err)
				}
			}
			if status := put(t, server.URL+"/dump/"+name, []byte("whole")); status != "201" {
				t.Errorf("%s: once more: %s, want 201", name, status)
			}
			if got, err := os.ReadFile(file); string(got) != "whole" {
				t.Errorf("%s has %q, %v, want whole", name, got, err)
			}
		}
	})
}
