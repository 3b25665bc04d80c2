// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	uphttp "github.com/ukdump/ukdump/pkg/target/http"
	"github.com/ukdump/ukdump/pkg/target/s3"
	"github.com/ukdump/ukdump/pkg/target/s3/s3test"
)

const testPrefix = "crash/here"

func bucketOptions(s *s3test.Server) Options {
	return Options{Bucket: &s3.Options{Endpoint: "http://" + s.Address(), Bucket: s3test.Bucket, Prefix: testPrefix,
		AccessKey: s3test.Access, SecretKey: s3test.Secret}}
}

// inBucket returns the options for a bucket of its own, and where its objects are
// as files.
func inBucket(t testing.TB) (Options, string) {
	t.Helper()
	s := s3test.New(t, t.TempDir())
	return bucketOptions(s), filepath.Join(s.Store, s3test.Bucket, testPrefix)
}

// clientOf returns a client of the bucket's server.
func clientOf(t testing.TB, o Options) minio.Core {
	t.Helper()
	client, err := o.Bucket.Client(&http.Transport{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return minio.Core{Client: client}
}

// placeFile puts a file where the store's are, past the receiver.
func placeFile(t *testing.T, o Options, name, text string) (remove func()) {
	t.Helper()
	if o.Dir != "" {
		file := filepath.Join(o.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	api := clientOf(t, o)
	key := testPrefix + "/" + name
	if _, err := api.PutObject(t.Context(), o.Bucket.Bucket, key, strings.NewReader(text), int64(len(text)), "", "", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := api.RemoveObject(t.Context(), o.Bucket.Bucket, key, minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// noise returns bytes that are like nothing else.
func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// chunk is how much the tests send with a request: less than the capture kernel, so
// that there are more pieces.
const chunk = 2 << 20

// TestReceivers sends a file in chunks, each to another receiver.
func TestReceivers(t *testing.T) {
	o, dir := inBucket(t)
	var servers []*httptest.Server
	for range 3 {
		_, server := serve(t, o)
		servers = append(servers, server)
	}
	path := strings.TrimPrefix(create(t, servers[0], "dump/vmcore.flat"), servers[0].URL)
	want := noise(3*firstPart + chunk + 12345)
	for i, offset := 1, 0; offset < len(want); i++ {
		server := servers[i%len(servers)]
		status, header := curl(t, nil, "-I", server.URL+path)
		if status != "200" || header.Get("Upload-Offset") != fmt.Sprint(offset) {
			t.Fatalf("HEAD: %s, %v, want offset %d", status, header, offset)
		}
		n, length := min(chunk, len(want)-offset), -1
		if offset+n == len(want) {
			length = len(want)
		}
		server = servers[(i+1)%len(servers)]
		if status := patch(t, server.URL+path, want[offset:offset+n], offset, length); status != "204" {
			t.Fatalf("PATCH at %d: %s", offset, status)
		}
		if offset += n; offset < len(want) {
			if _, err := os.Stat(filepath.Join(dir, "web1/dump/vmcore.flat")); err == nil {
				t.Fatal("half a file has its final name")
			}
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore.flat")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}
	for _, server := range servers {
		if status, header := curl(t, nil, "-I", server.URL+path); status != "200" || header.Get("Upload-Offset") != fmt.Sprint(len(want)) {
			t.Errorf("HEAD of the complete upload: %s, %v", status, header)
		}
		if status := patch(t, server.URL+path, []byte("x"), len(want), -1); status != "410" {
			t.Errorf("PATCH of the complete upload: %s, want 410", status)
		}
		if status := put(t, server.URL+"/dump/vmcore.flat", []byte("other")); status != "409" {
			t.Errorf("PUT of the complete file: %s, want 409", status)
		}
	}
}

// TestCaptureKernel has the target that a capture kernel has, which keeps no more
// than a chunk, in front of a proxy that gives each request to another receiver.
func TestCaptureKernel(t *testing.T) {
	o, dir := inBucket(t)
	var proxies []http.Handler
	for range 2 {
		_, server := serve(t, o)
		base, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxies = append(proxies, httputil.NewSingleHostReverseProxy(base))
	}
	var requests atomic.Int64
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		proxies[requests.Add(1)%2].ServeHTTP(w, q)
	}))
	defer balancer.Close()
	store, err := uphttp.Open(t.Context(), uphttp.Options{URL: balancer.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	to, err := store.Make(t.Context(), "dump")
	if err != nil {
		t.Fatal(err)
	}
	f, err := to.Create(t.Context(), "vmcore.flat", 0)
	if err != nil {
		t.Fatal(err)
	}
	want := noise(2*firstPart + 54321)
	_, err = f.Write(want)
	if err := errors.Join(err, f.Commit()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore.flat")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}
}

// TestKilledReceiver goes on with another receiver while the first one, of which the
// client hears nothing any more, still has a request for the upload. When that goes
// on, it must not do harm.
func TestKilledReceiver(t *testing.T) {
	o, dir := inBucket(t)
	o.Idle = time.Hour
	first, firstServer := serve(t, o)
	_, secondServer := serve(t, o)
	want := noise(2*firstPart + 100)
	const acknowledged = firstPart + chunk
	path := strings.TrimPrefix(create(t, firstServer, "dump/vmcore"), firstServer.URL)
	if status := patch(t, firstServer.URL+path, want[:acknowledged], 0, -1); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	// It fills a part, and more.
	header := http.Header{"Content-Type": {"application/offset+octet-stream"}, "Upload-Offset": {fmt.Sprint(acknowledged)}}
	stale, status := beginRequest(t, first, "PATCH", firstServer.URL+path, header, "stale")

	answer, got := curl(t, nil, "-I", secondServer.URL+path)
	if answer != "200" || got.Get("Upload-Offset") != fmt.Sprint(acknowledged) {
		t.Fatalf("HEAD: %s, %v, want offset %d", answer, got, acknowledged)
	}
	if status := patch(t, secondServer.URL+path, want[acknowledged:len(want)-50], acknowledged, -1); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	stale.Write(make([]byte, firstPart))
	stale.Close()
	if got := <-status; got != http.StatusLocked && got != 0 {
		t.Errorf("the request of the first receiver: %d, want 423", got)
	}
	if status := patch(t, secondServer.URL+path, want[len(want)-50:], len(want)-50, len(want)); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}
}

// TestRemembered has a receiver remember an upload that others have gone on with, or
// begun anew. It may also have forgotten it, and know better.
func TestRemembered(t *testing.T) {
	o, dir := inBucket(t)
	_, first := serve(t, o)
	_, second := serve(t, o)
	want := noise(firstPart + chunk)
	path := strings.TrimPrefix(create(t, first, "dump/vmcore"), first.URL)
	for i, server := range []*httptest.Server{first, first, second} {
		if status := patch(t, server.URL+path, want[i*chunk:(i+1)*chunk], i*chunk, -1); status != "204" {
			t.Fatalf("PATCH %d: %s", i, status)
		}
	}
	if status := patch(t, first.URL+path, make([]byte, 2*firstPart), 2*chunk, -1); status != "423" && status != "409" {
		t.Errorf("PATCH at an offset of before: %s, want 423 or 409", status)
	}
	if _, header := curl(t, nil, "-I", first.URL+path); header.Get("Upload-Offset") != fmt.Sprint(3*chunk) {
		t.Errorf("HEAD: %v, want offset %d", header, 3*chunk)
	}
	if status := patch(t, first.URL+path, want[3*chunk:], 3*chunk, len(want)); status != "204" {
		t.Errorf("the last PATCH: %s", status)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}

	url := create(t, first, "dump/file")
	if status := patch(t, url, []byte("old"), 0, -1); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	anew := create(t, second, "dump/file")
	if status := patch(t, url, []byte("old"), 3, 6); status != "423" && status != "404" {
		t.Errorf("PATCH of an upload that was begun anew: %s, want 423 or 404", status)
	}
	if status := patch(t, anew, []byte("new"), 0, 3); status != "204" {
		t.Errorf("PATCH of the new one: %s", status)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/file")); string(got) != "new" {
		t.Errorf("the object has %q, %v, want new", got, err)
	}
}

// TestWriteOnly has a receiver that gets all requests: it reads next to nothing of
// what it has written. Now and then it forgets.
func TestWriteOnly(t *testing.T) {
	o, dir := inBucket(t)
	store, err := url.Parse(o.Bucket.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var gets atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(store)
		r.Out.Host = r.In.Host // which is signed
		if r.In.Method == "GET" && r.In.URL.RawQuery == "" {
			gets.Add(1)
		}
	}})
	defer proxy.Close()
	o.Bucket.Endpoint = proxy.URL
	_, server := serve(t, o)
	url := create(t, server, "dump/vmcore")
	before := gets.Load()
	const chunks = 17
	want := noise(chunks * chunk)
	for offset := 0; offset < len(want); offset += chunk {
		if status := patch(t, url, want[offset:offset+chunk], offset, len(want)); status != "204" {
			t.Fatalf("PATCH at %d: %s", offset, status)
		}
	}
	if n := gets.Load() - before; n > chunks/2 {
		t.Errorf("%d objects were read for %d chunks, want next to none", n, chunks)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}
}

// TestRace has two receivers with the same request at the same time, time and again.
func TestRace(t *testing.T) {
	o, dir := inBucket(t)
	var urls []string
	path := ""
	for range 2 {
		_, server := serve(t, o)
		if path == "" {
			path = strings.TrimPrefix(create(t, server, "dump/vmcore"), server.URL)
		}
		urls = append(urls, server.URL+path)
	}
	want := noise(40 * 300 << 10)
	for offset := 0; offset < len(want); {
		var both sync.WaitGroup
		for _, url := range urls {
			both.Go(func() {
				patch(t, url, want[offset:min(offset+300<<10, len(want))], offset, len(want))
			})
		}
		both.Wait()
		_, header := curl(t, nil, "-I", urls[0])
		if _, err := fmt.Sscan(header.Get("Upload-Offset"), &offset); err != nil {
			t.Fatalf("HEAD: %v, %v", header, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/vmcore")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}
}

// TestManyPieces sends little with each request.
func TestManyPieces(t *testing.T) {
	o, dir := inBucket(t)
	_, server := serve(t, o)
	url := create(t, server, "dump/file")
	var want []byte
	for i := range 2*maxPieces + 10 {
		part := fmt.Appendf(nil, "%d ", i)
		if status := patch(t, url, part, len(want), -1); status != "204" {
			t.Fatalf("PATCH %d: %s", i, status)
		}
		want = append(want, part...)
	}
	if pieces, err := filepath.Glob(filepath.Join(dir, ".uploads/*/*")); err != nil || len(pieces) > maxPieces+1 {
		t.Errorf("%d pieces, %v, want %d at the most", len(pieces), err, maxPieces)
	}
	if status := patch(t, url, nil, len(want), len(want)); status != "204" {
		t.Fatalf("the last PATCH: %s", status)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/file")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %.100q, %v, want %.100q", got, err, want)
	}
	if pieces, err := filepath.Glob(filepath.Join(dir, ".uploads/*/*")); err != nil || len(pieces) != 1 {
		t.Errorf("%q are left, %v, want the state alone", pieces, err)
	}
}

// TestManyObjects fills a dump with files, which may be empty.
func TestManyObjects(t *testing.T) {
	o, _ := inBucket(t)
	_, server := serve(t, o)
	for i := range maxFiles - 1 {
		placeFile(t, o, fmt.Sprint("web1/dump/", i), "")
	}
	for _, test := range []struct{ path, want string }{{"/dump/a", "201"}, {"/dump/b", "507"}, {"/dump2/a", "201"}} {
		if status := put(t, server.URL+test.path, nil); status != test.want {
			t.Errorf("PUT of %s: %s, want %s", test.path, status, test.want)
		}
	}
}

// TestOtherReceiversQuota has a receiver take into account what others have taken.
func TestOtherReceiversQuota(t *testing.T) {
	o, _ := inBucket(t)
	o.MachineQuota = 100
	_, one := serve(t, o)
	two, twoServer := serve(t, o)
	if status := put(t, one.URL+"/dump/complete", make([]byte, 30)); status != "201" {
		t.Fatalf("PUT: %s", status)
	}
	if status := patch(t, create(t, one, "dump/incomplete"), make([]byte, 30), 0, -1); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	if err := two.store.(*bucket).look(); err != nil {
		t.Fatal(err)
	}
	if status := put(t, twoServer.URL+"/dump/more", make([]byte, 41)); status != "507" {
		t.Errorf("101 bytes in all: %s, want 507", status)
	}
	if status := put(t, twoServer.URL+"/dump/more", make([]byte, 40)); status != "201" {
		t.Errorf("100 bytes in all: %s, want 201", status)
	}
}

// TestSweep has uploads to which nobody comes back.
func TestSweep(t *testing.T) {
	o, dir := inBucket(t)
	r, server := serve(t, o)
	b := r.store.(*bucket)
	sweep := func(later time.Duration) {
		t.Helper()
		if err := errors.Join(b.look(), b.sweep(time.Now().Add(later))); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (files []string) {
		t.Helper()
		err := fs.WalkDir(os.DirFS(filepath.Join(dir, ".uploads")), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return nil
		})
		page, listErr := clientOf(t, o).ListMultipartUploads(t.Context(), o.Bucket.Bucket, testPrefix+"/", "", "", "", 1000)
		if err := errors.Join(err, listErr); err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Uploads {
			files = append(files, "upload of "+u.Key)
		}
		return files
	}
	if status := put(t, server.URL+"/dump/complete", []byte("hello")); status != "201" {
		t.Fatalf("PUT: %s", status)
	}
	want := noise(firstPart + 100)
	url := create(t, server, "dump/vmcore")
	if status := patch(t, url, want[:firstPart+50], 0, -1); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	// What receivers have left that were killed at a bad moment.
	api := clientOf(t, o)
	if _, err := api.NewMultipartUpload(t.Context(), o.Bucket.Bucket, testPrefix+"/web1/dump/nobodys", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	placeFile(t, o, ".uploads/"+strings.Repeat("0", 2*slotBytes)+"/NOBODYS", "x")

	sweep(0)
	if got := left(); len(got) != 6 { // two states, two pieces, two multipart uploads
		t.Errorf("after a sweep there is %q, want 6 things", got)
	}
	sweep(2 * askTime)
	if got := left(); len(got) != 5 {
		t.Errorf("after %v there is %q, want all but the complete upload's state", 2*askTime, got)
	}
	if status := patch(t, url, want[firstPart+50:], firstPart+50, len(want)); status != "204" {
		t.Errorf("PATCH: %s", status)
	}
	// Another one, which is given up.
	url = create(t, server, "dump2/vmcore")
	if status := patch(t, url, want, 0, -1); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	sweep(2 * b.expire)
	if got := left(); len(got) != 0 {
		t.Errorf("after %v there is %q, want nothing", 2*b.expire, got)
	}
	if status, _ := curl(t, nil, "-I", url); status != "404" {
		t.Errorf("HEAD of the upload that was given up: %s, want 404", status)
	}
	for name, want := range map[string][]byte{"complete": []byte("hello"), "vmcore": want} {
		if got, err := os.ReadFile(filepath.Join(dir, "web1/dump", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "web1/dump2/vmcore")); err == nil {
		t.Error("half a file has its final name")
	}
}

// TestStoreGone has the object store go away, and come back.
func TestStoreGone(t *testing.T) {
	s := s3test.New(t, t.TempDir())
	_, server := serve(t, bucketOptions(s))
	url := create(t, server, "dump/file")
	if status := patch(t, url, []byte("one "), 0, -1); status != "204" {
		t.Fatalf("PATCH: %s", status)
	}
	s.Stop()
	if status := patch(t, url, []byte("lost"), 4, -1); status[0] != '5' || status == "507" {
		t.Errorf("PATCH without the store: %s, want a 5xx that means to try again", status)
	}
	s.Start(t)
	if status, header := curl(t, nil, "-I", url); status != "200" || header.Get("Upload-Offset") != "4" {
		t.Errorf("HEAD: %s, %v, want offset 4", status, header)
	}
	if status := patch(t, url, []byte("two"), 4, 7); status != "204" {
		t.Errorf("PATCH: %s", status)
	}
	if got, err := s.Read(testPrefix + "/web1/dump/file"); string(got) != "one two" {
		t.Errorf("the object has %q, %v, want one two", got, err)
	}
}

// TestDamagedState has somebody write what they like to the bucket.
func TestDamagedState(t *testing.T) {
	o, dir := inBucket(t)
	r, server := serve(t, o)
	url := create(t, server, "dump/file")
	slot, err := slotOf(filepath.Base(url))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "null", "[]", strings.Repeat("[", 2*maxState),
		`{"ID":"` + filepath.Base(url) + `","Machine":"web1","Path":"web1/../../etc/passwd","Next":1}`} {
		placeFile(t, o, ".uploads/"+slot+"/"+stateName, text)
		if status, _ := curl(t, nil, "-I", url); status != "500" {
			t.Errorf("state %.40q: HEAD: %s, want 500", text, status)
		}
		if err := r.store.(*bucket).look(); err != nil {
			t.Errorf("state %.40q: %v", text, err)
		}
	}
	if status := put(t, server.URL+"/dump/file", []byte("whole")); status != "201" {
		t.Errorf("PUT: %s, want 201", status)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "web1/dump/file")); string(got) != "whole" {
		t.Errorf("the object has %q, %v, want whole", got, err)
	}
}

// TestNoConditions has a store that does what it is asked for whatever the
// conditions are, as some do.
func TestNoConditions(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		w.Header().Set("ETag", `"0"`)
	}))
	defer store.Close()
	o := Options{Machine: byHeader, Bucket: &s3.Options{Endpoint: store.URL, Bucket: "dumps", AccessKey: "a", SecretKey: "s"}}
	if r, err := New(o); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("New = %v, %v, want an error", r, err)
	}
}

func FuzzState(f *testing.F) {
	good := bucketState{known: newKnown(file{"web1", "dump", "vmcore.flat"}, -1), Next: 3, Trying: 2, Stored: firstPart, Pieces: []piece{{"PIECE", 5}}}
	good.Offset = firstPart + 5
	text, err := json.Marshal(&good)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := parseState(text); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"ID":"00","Pieces":[{"Name":"state","Size":-1}],"Lost":[1,2]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseState(text)
		if err != nil {
			return
		}
		if !filepath.IsLocal(s.Path) || !strings.HasPrefix(s.Path, s.Machine+"/") || s.tail() > partSize(s.Next) || s.Offset < s.Stored {
			t.Errorf("parseState(%q) = %+v", text, s)
		}
		for _, p := range s.Pieces {
			if strings.Contains(p.Name, "/") || p.Name == stateName {
				t.Errorf("parseState(%q) has piece %q", text, p.Name)
			}
		}
	})
}
