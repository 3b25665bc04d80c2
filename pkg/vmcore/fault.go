// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcore

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/ukdump/ukdump/pkg/mem"
)

// CatchFault calls f and returns its error. If f touches memory that a View
// gave out and that cannot be read (a file cut short or a disk error under a
// mapping, a hardware memory error: the kernel sends SIGBUS), f ends there and
// CatchFault returns an error that wraps mem.ErrUnreadable. Other panics go on.
func CatchFault(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = fmt.Errorf("%w: memory fault in a mapped window", mem.ErrUnreadable)
		default:
			panic(r)
		}
	}()
	return f()
}
