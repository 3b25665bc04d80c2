// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
)

// TestRealKcore reads the code of the running kernel, which does not change,
// from several goroutines at once.
func TestRealKcore(t *testing.T) {
	c, err := elfcore.Open("/proc/kcore")
	if err != nil {
		t.Skip(err)
	}
	defer c.Close()
	var text elfcore.Segment
	for _, s := range c.Segments() {
		if s.Virt > text.Virt {
			text = s // the kernel image lies above all other memory
		}
	}
	var want [4][64 << 10]byte
	for i := range want {
		if err := c.ReadPhys(want[i][:], text.Phys+mib*mem.PhysAddr(i)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			got := make([]byte, len(want[i]))
			for range 200 {
				if err := c.ReadPhys(got, text.Phys+mib*mem.PhysAddr(i)); err != nil || !bytes.Equal(got, want[i][:]) {
					t.Errorf("the code at +%d MiB changed, %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

const mib = 1 << 20
