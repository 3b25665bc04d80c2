package zstdpage

import (
	"bytes"
	"fmt"
	"github.com/klauspost/compress/zstd"
	"os"
	"syscall"
	"testing"
	"time"
)

func cpu() float64 {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}
func TestPages(t *testing.T) {
	data, err := os.ReadFile(os.Getenv("PAGES"))
	if err != nil {
		t.Skip()
	}
	e := NewEncoder(4096)
	dec, _ := zstd.NewReader(nil)
	buf := make([]byte, 0, 8192)
	tot, raw := 0, 0
	var got []byte
	for i := 0; i < len(data); i += 4096 {
		out, ok := e.Append(buf[:0], data[i:i+4096])
		if !ok {
			tot += 4096
			raw++
			continue
		}
		tot += len(out)
		if i/4096%5 == 0 {
			got, err = dec.DecodeAll(out, got[:0])
			if err != nil || !bytes.Equal(got, data[i:i+4096]) {
				t.Fatalf("page %d: %v %x", i/4096, err, out)
			}
		}
	}
	best := 9.9
	for range 5 {
		c := cpu()
		w := time.Now()
		for i := 0; i < len(data); i += 4096 {
			e.Append(buf[:0], data[i:i+4096])
		}
		_ = w
		best = min(best, cpu()-c)
	}
	fmt.Printf("%d bytes, %d raw, cpu %.3f\n", tot, raw, best)
}
