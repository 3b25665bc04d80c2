// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/diskdump"
)

// serve starts a server for the receiver, which the functions change before.
func serve(t testing.TB, o Options, change ...func(*Receiver)) (*Receiver, *httptest.Server) {
	t.Helper()
	if o.Machine == nil {
		o.Machine = func(*http.Request) (string, error) { return "web1", nil }
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.Close()
		r.Close()
	})
	return r, server
}

// eachStore runs a test with each kind of store. Files of it lie below dir.
func eachStore(t *testing.T, test func(t *testing.T, o Options, dir string)) {
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		test(t, Options{Dir: dir}, dir)
	})
	t.Run("bucket", func(t *testing.T) {
		o, dir := inBucket(t)
		test(t, o, dir)
	})
}

// curl makes a request and returns the status and the headers of the answer.
func curl(t *testing.T, body []byte, args ...string) (status string, header http.Header) {
	t.Helper()
	cmd := exec.Command("curl", append([]string{"-s", "-S", "-i", "--max-time", "60"}, args...)...)
	cmd.Stdin = bytes.NewReader(body)
	out, err := cmd.Output()
	if err != nil {
		if _, lookErr := exec.LookPath("curl"); lookErr != nil {
			t.Skip("no curl here")
		}
		t.Fatalf("curl %q: %v", args, err)
	}
	header = http.Header{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" && status != "100" {
			break
		}
		if strings.HasPrefix(line, "HTTP/") {
			status = strings.Fields(line)[1]
		} else if key, value, ok := strings.Cut(line, ": "); ok {
			header.Add(key, value)
		}
	}
	return status, header
}

func metadata(name string) string {
	return "Upload-Metadata: filename " + base64.StdEncoding.EncodeToString([]byte(name))
}

// create makes an upload with curl and returns its URL.
func create(t *testing.T, server *httptest.Server, name string) string {
	t.Helper()
	status, header := curl(t, nil, "-X", "POST", "-H", "Upload-Defer-Length: 1", "-H", metadata(name), server.URL+"/")
	if status != "201" {
		t.Fatalf("POST of %s: %s", name, status)
	}
	return server.URL + header.Get("Location")
}

// patch sends a part with curl; a negative length is not told.
func patch(t *testing.T, url string, part []byte, offset, length int) string {
	t.Helper()
	args := []string{"-X", "PATCH", "--data-binary", "@-", "-H", "Content-Type: application/offset+octet-stream",
		"-H", fmt.Sprint("Upload-Offset: ", offset)}
	if length >= 0 {
		args = append(args, "-H", fmt.Sprint("Upload-Length: ", length))
	}
	status, _ := curl(t, part, append(args, url)...)
	return status
}

// TestUpload sends a file in two parts, with another receiver for the second.
func TestUpload(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		first, server := serve(t, o)
		url := create(t, server, "dump/vmcore-dmesg.txt")
		if status := patch(t, url, []byte("hello "), 0, -1); status != "204" {
			t.Fatalf("PATCH: %s", status)
		}
		if status := patch(t, url, []byte("again"), 3, -1); status != "409" {
			t.Errorf("PATCH at another offset: %s, want 409", status)
		}
		server.Close()
		first.Close()
		_, server = serve(t, o)
		url = server.URL + "/" + filepath.Base(url)
		status, header := curl(t, nil, "-I", url)
		if status != "200" || header.Get("Upload-Offset") != "6" || header.Get("Upload-Defer-Length") != "1" {
			t.Fatalf("HEAD: %s, %v, want offset 6", status, header)
		}
		file := filepath.Join(dir, "web1/dump/vmcore-dmesg.txt")
		if _, err := os.Stat(file); err == nil {
			t.Error("half of the file has its final name")
		}
		if status := patch(t, url, []byte("world"), 6, 11); status != "204" {
			t.Fatalf("PATCH: %s", status)
		}
		info, err := os.Stat(file)
		if text, _ := os.ReadFile(file); err != nil || string(text) != "hello world" || o.Dir != "" && info.Mode() != 0o600 {
			t.Errorf("the file has %q, %v, %v, want hello world", text, info, err)
		}
		// A client that did not get the answer asks.
		if status, header := curl(t, nil, "-I", url); status != "200" || header.Get("Upload-Offset") != "11" || header.Get("Upload-Length") != "11" {
			t.Errorf("HEAD of the complete upload: %s, %v", status, header)
		}
		status, _ = curl(t, nil, "-X", "POST", "-H", "Upload-Defer-Length: 1", "-H", metadata("dump/vmcore-dmesg.txt"), server.URL+"/")
		if status != "409" {
			t.Errorf("POST of a file that is complete: %s, want 409", status)
		}
	})
}

// TestFlattened sends a flattened dump in odd parts; a normal one has to lie there.
func TestFlattened(t *testing.T) {
	var flat bytes.Buffer
	w, err := diskdump.NewFlatWriter(&flat)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 50000)
	for i := range want {
		want[i] = byte(i * i >> 3)
	}
	for _, at := range []int{30000, 40000, 20000, 10000, 0} {
		if _, err := w.WriteAt(want[at:at+10000], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, server := serve(t, Options{Dir: dir})
	url := create(t, server, "dump/vmcore.flat")
	text, offset := flat.Bytes(), 0
	for offset < len(text) {
		n, length := min(7777, len(text)-offset), -1
		if offset+n == len(text) {
			length = len(text)
		}
		if status := patch(t, url, text[offset:offset+n], offset, length); status != "204" {
			t.Fatalf("PATCH at %d: %s", offset, status)
		}
		offset += n
	}
	got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("vmcore has %d bytes, %v, want the %d that were flattened", len(got), err, len(want))
	}
	// One that has no end is not complete.
	url = create(t, server, "dump2/vmcore.flat")
	if status := patch(t, url, text[:10000], 0, 10000); status != "400" {
		t.Errorf("a dump without its end: %s, want 400", status)
	}
	if _, err := os.Stat(filepath.Join(dir, "web1/dump2/vmcore")); err == nil {
		t.Error("half a dump has its final name")
	}
}

// TestHostile has a client that wants what it must not have.
func TestHostile(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, _ string) {
		var machine atomic.Value
		machine.Store("web1")
		o.MachineQuota, o.TotalQuota, o.MaxUploads = 100, 150, 3
		o.Machine = func(*http.Request) (string, error) { return machine.Load().(string), nil }
		r, server := serve(t, o)
		for _, name := range []string{"", "x", "../x", "a/../b", "a/b/c", "/etc/passwd", "a/.b", ".a/b", "a/b-incomplete", "a/b c", "a/\x00", strings.Repeat("a", 300) + "/b", "../../a/b"} {
			status, _ := curl(t, nil, "-X", "POST", "-H", "Upload-Defer-Length: 1", "-H", metadata(name), server.URL+"/")
			if status != "400" {
				t.Errorf("POST of %.60q: %s, want 400", name, status)
			}
		}
		for _, args := range [][]string{
			{"-X", "POST", "-H", metadata("a/b")},
			{"-X", "POST", "-H", "Upload-Length: -1", "-H", metadata("a/b")},
			{"-X", "POST", "-H", "Upload-Length: 99999999999999999999", "-H", metadata("a/b")},
			{"-X", "POST", "-H", "Upload-Defer-Length: 1", "-H", "Upload-Metadata: filename !!!"},
		} {
			if status, _ := curl(t, nil, append(args, server.URL+"/")...); status != "400" {
				t.Errorf("%q: %s, want 400", args, status)
			}
		}
		if status, _ := curl(t, nil, "-X", "POST", "-H", "Upload-Length: 101", "-H", metadata("a/b"), server.URL+"/"); status != "507" {
			t.Errorf("an upload beyond the quota: %s, want 507", status)
		}
		if status, _ := curl(t, nil, "-X", "DELETE", server.URL+"/"); status != "405" {
			t.Errorf("DELETE: %s, want 405", status)
		}
		url := create(t, server, "a/b")
		if status := patch(t, url, make([]byte, 101), 0, -1); status != "507" {
			t.Errorf("more than the quota: %s, want 507", status)
		}
		if status := patch(t, url, make([]byte, 60), 0, 50); status != "400" {
			t.Errorf("more than announced: %s, want 400", status)
		}
		machine.Store("web2")
		if status := patch(t, url, []byte("x"), 0, -1); status != "404" {
			t.Errorf("another machine's upload: %s, want 404", status)
		}
		other := create(t, server, "a/b")
		if status := patch(t, other, make([]byte, 100), 0, -1); status == "204" && r.Stats.Bytes.Load() > 150 {
			t.Errorf("both machines have %d bytes, more than all may have", r.Stats.Bytes.Load())
		}
		machine.Store("../web")
		if status, _ := curl(t, nil, "-X", "POST", "-H", "Upload-Defer-Length: 1", "-H", metadata("a/b"), server.URL+"/"); status != "401" {
			t.Errorf("a machine with an odd name: %s, want 401", status)
		}
		machine.Store("web3")
		create(t, server, "a/c")
		if status, _ := curl(t, nil, "-X", "POST", "-H", "Upload-Defer-Length: 1", "-H", metadata("a/d"), server.URL+"/"); status != "507" {
			t.Errorf("one upload too many: %s, want 507", status)
		}
	})
}

// TestIdle has a client whose body does not go on.
func TestIdle(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, _ string) {
		o.Idle = 100 * time.Millisecond
		_, server := serve(t, o)
		url := create(t, server, "a/b")
		conn, err := (&http.Client{}).Do(slowRequest(t, url))
		if err == nil {
			conn.Body.Close()
			if conn.StatusCode == http.StatusNoContent {
				t.Error("a body that never ended was taken")
			}
		}
	})
}

type never struct{ done <-chan struct{} }

func (n never) Read([]byte) (int, error) {
	<-n.done
	return 0, os.ErrDeadlineExceeded
}

func slowRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), "PATCH", url, never{t.Context().Done()})
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/offset+octet-stream")
	q.Header.Set("Upload-Offset", "0")
	return q
}

func TestTokens(t *testing.T) {
	token, line, err := NewToken("web1")
	if err != nil || strings.Contains(line, token) {
		t.Fatalf("NewToken = %q, %q, %v", token, line, err)
	}
	tokens, err := ParseTokens("# tokens\n\n" + line + "\n")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(authorization string) (string, error) {
		q := httptest.NewRequest("POST", "/", nil)
		q.Header.Set("Authorization", authorization)
		return tokens.Machine(q)
	}
	if machine, err := ask("Bearer " + token); err != nil || machine != "web1" {
		t.Errorf("the token is that of %q, %v, want web1", machine, err)
	}
	for _, wrong := range []string{"", "Bearer ", "Bearer x" + token, "Basic " + token, token} {
		if machine, err := ask(wrong); err == nil {
			t.Errorf("%q is the token of %s", wrong, machine)
		}
	}
	for _, text := range []string{"web1", "web1 sha256:00", "web1 " + token, "../x " + strings.Fields(line)[1], line + "\n" + line} {
		if got, err := ParseTokens(text); err == nil {
			t.Errorf("ParseTokens(%q) = %v, want an error", text, got)
		}
	}
	if _, _, err := NewToken("../x"); err == nil {
		t.Error("NewToken(../x) is no error")
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add("filename ZHVtcC92bWNvcmU=")
	f.Add("is_confidential,filename ZHVtcC92bWNvcmU=,x y")
	f.Fuzz(func(t *testing.T, text string) {
		dump, name, err := parseMetadata(text)
		if err == nil && (!filepath.IsLocal(dump) || !filepath.IsLocal(name) || strings.Contains(dump+name, "/")) {
			t.Errorf("parseMetadata(%q) = %q, %q", text, dump, name)
		}
	})
}
