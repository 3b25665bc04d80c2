// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// beginRequest begins a request that sends text, which has to arrive at the receiver,
// and waits for more of its body. The channel gets the status of its answer.
func beginRequest(t *testing.T, r *Receiver, method, url string, header http.Header, text string) (*io.PipeWriter, <-chan int) {
	t.Helper()
	body, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	q, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for key, values := range header {
		q.Header[key] = values
	}
	arrived := r.Stats.Bytes.Load() + int64(len(text))
	status := make(chan int, 1)
	go func() {
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			status <- 0
			return
		}
		a.Body.Close()
		status <- a.StatusCode
	}()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if r.Stats.Bytes.Load() == arrived {
			return w, status
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q does not arrive", text)
		}
	}
}

func beginPatch(t *testing.T, r *Receiver, url, text string) (*io.PipeWriter, <-chan int) {
	t.Helper()
	return beginRequest(t, r, "PATCH", url, http.Header{"Content-Type": {"application/offset+octet-stream"}, "Upload-Offset": {"0"}}, text)
}

// TestTakeOver goes on with an upload while the request before has not ended, as
// when a connection is dead and only the client knows.
func TestTakeOver(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		o.Idle = time.Hour
		r, server := serve(t, o)
		url := create(t, server, "dump/vmcore")
		_, old := beginPatch(t, r, url, "one ")
		status, header := curl(t, nil, "-I", url)
		if status != "200" || header.Get("Upload-Offset") != "4" {
			t.Fatalf("HEAD: %s, %v, want offset 4", status, header)
		}
		if status := <-old; status != http.StatusLocked && status != 0 {
			t.Errorf("the request before: %d, want 423, or that its connection is closed", status)
		}
		if status := patch(t, url, []byte("two"), 4, 7); status != "204" {
			t.Errorf("PATCH: %s", status)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore")); string(text) != "one two" {
			t.Errorf("the file has %q, %v, want one two", text, err)
		}
	})
}

// TestBegunAnew completes a file while a request for an earlier upload of it has
// not ended, which then sends more.
func TestBegunAnew(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		o.Idle = time.Hour
		r, server := serve(t, o)
		body, old := beginPatch(t, r, create(t, server, "dump/vmcore"), "stale")
		const want = "0123456789"
		if status := patch(t, create(t, server, "dump/vmcore"), []byte(want), 0, len(want)); status != "204" {
			t.Fatalf("PATCH: %s", status)
		}
		io.WriteString(body, "more")
		body.Close()
		<-old
		if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore")); string(got) != want {
			t.Errorf("the complete file has %q, %v, want %q", got, err, want)
		}
	})
}

// TestHole has a flattened dump with data at 1 TiB: a hole counts.
func TestHole(t *testing.T) {
	r, server := serve(t, Options{Dir: t.TempDir(), MachineQuota: 1 << 20})
	flat := make([]byte, 4096+17)
	copy(flat, "makedumpfile")
	for at, n := range map[int]uint64{16: 1, 24: 1, 4096: 1 << 40, 4104: 1} {
		binary.BigEndian.PutUint64(flat[at:], n)
	}
	for range 2 {
		if status := patch(t, create(t, server, "dump/vmcore.flat"), flat, 0, -1); status != "507" {
			t.Errorf("data at 1 TiB with a quota of 1 MiB: %s, want 507", status)
		}
	}
	if r.quota.used["web1"] != 0 {
		t.Errorf("%d bytes are in use, want none", r.quota.used["web1"])
	}
	for i, want := range []string{"204", "507"} {
		if status := patch(t, create(t, server, fmt.Sprint("dump/", i)), make([]byte, 600<<10), 0, -1); status != want {
			t.Errorf("600 KiB, the %d. time: %s, want %s", i, status, want)
		}
	}
}

// TestMachineUploads has a machine begin more uploads than it may have: there is room
// for those of others.
func TestMachineUploads(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, _ string) {
		o.Machine, o.MachineUploads, o.MaxUploads = byHeader, 2, 4
		_, server := serve(t, o)
		for i, test := range []struct{ machine, want string }{
			{"web1", "201"}, {"web1", "201"}, {"web1", "507"}, {"web2", "201"}, {"web3", "201"}, {"web4", "507"},
		} {
			status, _ := curl(t, nil, "-X", "POST", "-H", "Upload-Defer-Length: 1", "-H", metadata(fmt.Sprint("dump/", i)), "-H", "Machine: "+test.machine, server.URL+"/")
			if status != test.want {
				t.Errorf("upload %d, of %s: %s, want %s", i, test.machine, status, test.want)
			}
		}
		// One that is complete does not count.
		if status := put(t, server.URL+"/dump/0", []byte("x"), "-H", "Machine: web1"); status != "201" {
			t.Errorf("PUT in place of an upload: %s, want 201", status)
		}
		if status := put(t, server.URL+"/dump/new", []byte("x"), "-H", "Machine: web4"); status != "201" {
			t.Errorf("PUT: %s, want 201", status)
		}
	})
}

// TestExpired has a directory with uploads that nobody goes on with.
func TestExpired(t *testing.T) {
	_, server := serve(t, Options{Dir: t.TempDir(), MaxUploads: 1, Expire: time.Nanosecond})
	url := create(t, server, "dump/1")
	create(t, server, "dump/2")
	if status, _ := curl(t, nil, "-I", url); status != "404" {
		t.Errorf("HEAD of an upload that made room: %s, want 404", status)
	}
}

// TestManyFiles makes empty files, which no quota counts.
func TestManyFiles(t *testing.T) {
	post := func(server string, name string) int {
		q, err := http.NewRequest("POST", server+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Upload-Defer-Length", "1")
		q.Header.Set("Upload-Metadata", "filename "+base64.StdEncoding.EncodeToString([]byte(name)))
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode
	}
	for _, test := range []struct {
		pattern, glob string // of names, and for what is counted
		max, want     int    // uploads, and files or directories that may be made
	}{
		{"dump%d/file", "web1/*", 5, 5},
		{"dump/%d", "web1/dump/*", maxFiles + 50, maxFiles},
	} {
		dir := t.TempDir()
		_, server := serve(t, Options{Dir: dir, MaxUploads: test.max, MachineUploads: test.max})
		made := 0
		for i := range test.want + 20 {
			if post(server.URL, fmt.Sprintf(test.pattern, i)) == http.StatusCreated {
				made++
			}
		}
		found, err := filepath.Glob(filepath.Join(dir, test.glob))
		if err != nil || made != test.want || len(found) != test.want {
			t.Errorf("%s: %d made, %d there, %v, want %d", test.pattern, made, len(found), err, test.want)
		}
	}
}
