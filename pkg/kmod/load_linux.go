// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// maxLoading bounds how many modules load at the same time. Each occupies a
// thread and, for that while, its file size twice in kernel memory.
const maxLoading = 4

// ErrHung says that a module's init function did not return in time. The
// thread that waits for it is lost; everything else goes on.
var ErrHung = errors.New("init did not return in time")

// Loaded is what became of one module of a List.
type Loaded struct {
	Entry
	Took time.Duration
	// Err is nil if the module is in the kernel now, also if it was before.
	Err error
}

// Load loads the modules of a list, those that do not need each other side by
// side, and calls report for each, from the calling goroutine. A module that
// fails, or takes longer than each, is reported with an error, and so are those
// that need it; the others load all the same. When ctx ends, what has not
// loaded is reported with its error and Load returns.
//
// The file must not be compressed; see package unpack.
func Load(ctx context.Context, list []Entry, each time.Duration, report func(Loaded)) {
	load(ctx, list, each, finit, report)
}

// Live reports whether the module in the file is in the kernel, its init done. sys is
// where sysfs is mounted.
func Live(sys, file string) bool {
	state, err := os.ReadFile(filepath.Join(sys, "module", Normalize(file), "initstate"))
	return err == nil && string(state) == "live\n"
}

// finit hands the kernel the file itself: nothing is read to the heap. The file need
// not be there any more if the module is loaded.
func finit(e Entry) error {
	f, err := os.Open(e.Path)
	if errors.Is(err, os.ErrNotExist) && Live("/sys", e.Path) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), e.Params, 0)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("finit_module %s: %w", e.Path, err)
	}
	return nil
}

// load is Load with the function that loads one module. The loop below owns all
// state; the goroutines only carry out init and send the result, so that one
// that never comes back can be forgotten.
func load(ctx context.Context, list []Entry, each time.Duration, init func(Entry) error, report func(Loaded)) {
	type result struct {
		index int
		Loaded
	}
	results := make(chan result, len(list)) // nobody blocks on it, ever
	start := func(i int) {
		e := list[i]
		go func() {
			began := time.Now()
			err := bounded(ctx, each, func() error { return init(e) })
			results <- result{i, Loaded{Entry: e, Took: time.Since(began), Err: err}}
		}()
	}

	q := newQueue(list)
	for running := 0; ; running-- {
		for ; running < maxLoading; running++ {
			i, ok := q.next()
			if !ok {
				break
			}
			start(i)
		}
		for _, failed := range q.takeFailed() {
			report(failed)
		}
		if running == 0 {
			return
		}
		r := <-results
		q.finish(r.index, r.Err)
		report(r.Loaded)
	}
}

// bounded runs do and returns its error, or ErrHung after limit, or the error of
// ctx when that ends. In the latter cases do runs on, and its result is lost.
func bounded(ctx context.Context, limit time.Duration, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	returned := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				returned <- fmt.Errorf("panic: %v", r)
			}
		}()
		returned <- do()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-returned:
		return err
	case <-timer.C:
		return fmt.Errorf("%w (%v)", ErrHung, limit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// queue knows which module of a list can be loaded next.
type queue struct {
	list   []Entry
	state  map[string]loadState // by name; absent: waiting
	failed []Loaded             // given up without a try, not reported yet
	begun  []bool
}

type loadState int

const (
	waiting loadState = iota
	loaded
	lost
)

func newQueue(list []Entry) *queue {
	return &queue{list: list, state: make(map[string]loadState, len(list)), begun: make([]bool, len(list))}
}

// next returns the first module whose needs are loaded, and marks it as begun.
// On its way it gives up those whose needs are lost.
func (q *queue) next() (index int, ok bool) {
	for i, e := range q.list {
		if q.begun[i] {
			continue
		}
		ready := true
		for _, need := range e.Needs {
			ready = ready && q.state[need] == loaded
			if q.state[need] == lost {
				q.begun[i] = true
				q.state[e.Name()] = lost
				q.failed = append(q.failed, Loaded{Entry: e, Err: fmt.Errorf("needs %s, which is not loaded", need)})
				break
			}
		}
		if ready {
			q.begun[i] = true
			return i, true
		}
	}
	return 0, false
}

func (q *queue) finish(index int, err error) {
	q.state[q.list[index].Name()] = loaded
	if err != nil {
		q.state[q.list[index].Name()] = lost
	}
}

func (q *queue) takeFailed() []Loaded {
	failed := q.failed
	q.failed = nil
	return failed
}
