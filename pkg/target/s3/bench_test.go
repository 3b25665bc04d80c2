// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package s3

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// BenchmarkWrite writes an object, and has curl write the same with one request.
// UKDUMP_BENCH_MB says how large it is.
func BenchmarkWrite(b *testing.B) {
	mb, _ := strconv.Atoi(os.Getenv("UKDUMP_BENCH_MB"))
	data := noise(max(mb, 64) << 20)
	pool, cert, key := certificate(b)
	for _, scheme := range []string{"http", "https"} {
		var args []string
		if scheme == "https" {
			args = []string{"--cert", cert, "--key", key}
		}
		srv := newServer(b, b.TempDir(), args...)
		o := srv.options()
		o.Endpoint = scheme + "://" + srv.Address
		o.TLS = &tls.Config{RootCAs: pool}
		b.Run(scheme+"/ukdump", func(b *testing.B) {
			s, err := Open(context.Background(), o)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				d, err := s.Make(context.Background(), "dump")
				if err != nil {
					b.Fatal(err)
				}
				f, err := d.Create(context.Background(), "vmcore", 0)
				if err != nil {
					b.Fatal(err)
				}
				for rest := data; len(rest) > 0; {
					n := min(len(rest), 1<<20)
					if _, err := f.Write(rest[:n]); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := f.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(scheme+"/curl", func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "vmcore")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for i := 0; b.Loop(); i++ {
				out, err := exec.Command("curl", "-sS", "--fail-with-body", "-k", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", access+":"+secret,
					"-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T", file, fmt.Sprintf("%s/%s/curl/%d", o.Endpoint, bucket, i)).CombinedOutput()
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}
