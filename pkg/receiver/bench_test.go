// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	uphttp "github.com/ukdump/ukdump/pkg/target/http"
)

// BenchmarkUpload sends a file as a capture kernel does.
func BenchmarkUpload(b *testing.B) {
	const size = 256 << 20
	data := noise(chunk)
	for _, kind := range []string{"directory", "bucket"} {
		b.Run(kind, func(b *testing.B) {
			o := Options{Dir: b.TempDir()}
			if kind == "bucket" {
				o, _ = inBucket(b)
			}
			o.Machine = func(*http.Request) (string, error) { return "web1", nil }
			_, server := serve(b, o)
			store, err := uphttp.Open(b.Context(), uphttp.Options{URL: server.URL + "/"})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			b.SetBytes(size)
			for i := 0; b.Loop(); i++ {
				dir, err := store.Make(b.Context(), fmt.Sprint("dump", i))
				if err != nil {
					b.Fatal(err)
				}
				f, err := dir.Create(b.Context(), "vmcore", 0)
				if err != nil {
					b.Fatal(err)
				}
				for range size / chunk {
					if _, err = f.Write(data); err != nil {
						b.Fatal(err)
					}
				}
				if err := errors.Join(err, f.Commit()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
