// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestMaxRate writes at a rate of 1 MiB a second.
func TestMaxRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		moved := 0
		m := &streamMeter{Writer: io.Discard, limits: &limits{ctx: ctx, moved: func() { moved++ }, rate: 1 << 20}}
		write := func(mib int) (took time.Duration, told int) {
			began, before := time.Now(), moved
			if n, err := m.Write(make([]byte, mib<<20)); n != mib<<20 || err != nil {
				t.Errorf("Write of %d MiB = %d, %v", mib, n, err)
			}
			return time.Since(began), moved - before
		}
		for i, test := range []struct {
			pause time.Duration
			mib   int
			want  time.Duration
			told  int // once a second of waiting, and when it is done
		}{
			{0, 1, 0, 1},
			{0, 30, time.Second, 2},
			{10 * time.Second, 1, 20 * time.Second, 21},
			{time.Minute, 1, 0, 1},
			{0, 1, time.Second, 2},
		} {
			time.Sleep(test.pause)
			if took, told := write(test.mib); took != test.want || told != test.told {
				t.Errorf("write %d waits for %v, and tells so %d times, want %v, %d", i, took, told, test.want, test.told)
			}
		}
		cancel()
		if took, _ := write(1); took != 0 {
			t.Errorf("after the end a write waits for %v", took)
		}
	})
}
