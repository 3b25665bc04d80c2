// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// byHeader is for Options.Machine: the client says who it is.
func byHeader(q *http.Request) (string, error) { return q.Header.Get("Machine"), nil }

// TestTooManyRequests has clients whose requests do not end.
func TestTooManyRequests(t *testing.T) {
	for _, test := range []struct {
		patience time.Duration
		want     string // for one more request than there may be
	}{
		{10 * time.Millisecond, "503"},
		{time.Hour, "204"}, // when another one ends
	} {
		dir := t.TempDir()
		r, server := serve(t, Options{Dir: dir, Machine: byHeader, MaxRequests: 2, MachineRequests: 1, Idle: time.Hour},
			func(r *Receiver) { r.requests.patience = test.patience })
		slow := func(machine string) (body *io.PipeWriter, status <-chan int) {
			return beginRequest(t, r, "PUT", server.URL+"/dump/slow", http.Header{"Machine": {machine}}, "x")
		}
		ask := func(machine string) string {
			status, _ := curl(t, nil, "-X", "OPTIONS", "-H", "Machine: "+machine, server.URL+"/")
			return status
		}
		first, firstStatus := slow("web1")
		if got := ask("web1"); got != "429" {
			t.Errorf("a second request of the same machine: %s, want 429", got)
		}
		if got := ask("web2"); got != "204" {
			t.Errorf("another machine: %s, want 204", got)
		}
		second, secondStatus := slow("web2")
		answer := make(chan string, 1)
		go func() { answer <- ask("web3") }()
		if test.want == "503" {
			if got := <-answer; got != test.want {
				t.Errorf("a request too many: %s, want %s", got, test.want)
			}
		}
		first.Close()
		if got := <-firstStatus; got != http.StatusCreated {
			t.Errorf("the first request: %d, want 201", got)
		}
		if test.want != "503" {
			if got := <-answer; got != test.want {
				t.Errorf("the request that had to wait: %s, want %s", got, test.want)
			}
		}
		second.Close()
		if got := <-secondStatus; got != http.StatusCreated {
			t.Errorf("the second request: %d, want 201", got)
		}
	}
}

// TestTrickle has a client whose body comes too slowly to ever end.
func TestTrickle(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		o.Idle = 200 * time.Millisecond
		r, server := serve(t, o)
		body, status := beginRequest(t, r, "PUT", server.URL+"/dump/file", nil, "x")
		for len(status) == 0 {
			if _, err := io.WriteString(body, "x"); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := <-status; got != http.StatusRequestTimeout && got != 0 {
			t.Errorf("the request ends with %d, want 408, or that its connection is closed", got)
		}
		if _, err := os.Stat(filepath.Join(dir, "web1/dump/file")); err == nil {
			t.Error("the file has its final name")
		}
	})
}

// TestFinishAgain completes a file whose completion has failed after all of it had
// come: the client must not hear that it is complete.
func TestFinishAgain(t *testing.T) {
	eachStore(t, func(t *testing.T, o Options, dir string) {
		_, server := serve(t, o)
		url := create(t, server, "dump/file")
		file := filepath.Join(dir, "web1/dump/file")
		remove := placeFile(t, o, "web1/dump/file", "other")
		if status := patch(t, url, []byte("hello"), 0, 5); status != "409" {
			t.Errorf("PATCH: %s, want 409", status)
		}
		if status, header := curl(t, nil, "-I", url); status != "409" {
			t.Errorf("HEAD: %s, %v, want 409", status, header)
		}
		if text, err := os.ReadFile(file); string(text) != "other" {
			t.Errorf("the file has %q, %v, want other", text, err)
		}
		remove()
		for range 2 {
			if status, header := curl(t, nil, "-I", url); status != "200" || header.Get("Upload-Offset") != "5" {
				t.Errorf("HEAD: %s, %v, want offset 5", status, header)
			}
		}
		if text, err := os.ReadFile(file); string(text) != "hello" {
			t.Errorf("the file has %q, %v, want hello", text, err)
		}
	})
}
