// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"errors"
	"fmt"
	"sync"
)

// errQuota is why a client has to do without.
var errQuota = errors.New("no space left within the quota")

// quota is how many bytes there are, and how many there may be.
type quota struct {
	machine, total int64                   // at the most, 0 for any number
	free           func(bytes int64) error // looks whether there is room; may be nil

	mu   sync.Mutex
	used usage
	// since is what was taken since measuring began last.
	since usage
}

// usage is how much machines have, by their names.
type usage map[string]int64

func (u usage) sum() (sum int64) {
	for _, bytes := range u {
		sum += bytes
	}
	return sum
}

// take reserves bytes for a machine, or gives them back.
func (q *quota) take(machine string, bytes int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if bytes > 0 {
		if err := q.check(machine, bytes); err != nil {
			return err
		}
	}
	q.used[machine] = max(0, q.used[machine]+bytes)
	q.since[machine] += bytes
	return nil
}

// fits looks whether a machine could have that many more.
func (q *quota) fits(machine string, bytes int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.check(machine, bytes)
}

func (q *quota) check(machine string, bytes int64) error {
	if q.machine > 0 && q.used[machine]+bytes > q.machine {
		return fmt.Errorf("%w of %d bytes for %s", errQuota, q.machine, machine)
	}
	if q.total > 0 && q.used.sum()+bytes > q.total {
		return fmt.Errorf("%w of %d bytes for all machines", errQuota, q.total)
	}
	if q.free == nil {
		return nil
	}
	return q.free(bytes)
}

// measuring says that somebody begins to measure what is there.
func (q *quota) measuring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.since = usage{}
}

// measured takes what was measured. What was taken meanwhile may be in it or not.
func (q *quota) measured(u usage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for machine, bytes := range q.since {
		u[machine] += max(0, bytes)
	}
	q.used = u
}
