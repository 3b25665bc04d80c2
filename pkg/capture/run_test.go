// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
)

// testRun returns a run of the machine whose console the test can read.
func testRun(m machine) (*run, *strings.Builder) {
	var console strings.Builder
	return newRun(m, &runLog{start: time.Now(), console: &console}), &console
}

// numbers matches what differs from run to run.
var numbers = regexp.MustCompile(`\d+\.\d+s`)

// lines returns what is on the console, without prefixes and times.
func lines(console string) []string {
	text := strings.ReplaceAll(numbers.ReplaceAllString(console, "Ts"), kmsgPrefix, "")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func TestCarryOut(t *testing.T) {
	note := func(path string) func(context.Context, *run, state) (state, error) {
		return func(_ context.Context, _ *run, s state) (state, error) {
			s.device.Path += path
			return s, nil
		}
	}
	soon := within(time.Minute)
	r, console := testRun(machine{})
	s := r.carryOut([]phase{
		{name: "one", limit: soon, do: note("1")},
		{name: "fails", limit: soon, do: func(_ context.Context, _ *run, s state) (state, error) {
			s.device.Path += "f"
			return s, errors.New("first line\nsecond line")
		}},
		{name: "panics", limit: soon, do: func(_ context.Context, _ *run, s state) (state, error) {
			s.device.Path += "p"
			var nobody *config.Config
			return s, errors.New(nobody.Common.Dir)
		}},
		{name: "needs one", limit: soon, needs: []string{"one"}, do: note("2")},
		{name: "needs failed", limit: soon, needs: []string{"one", "fails"}, do: note("x")},
		{name: "needs skipped", limit: soon, needs: []string{"needs failed"}, do: note("x")},
		{name: "unwanted", limit: soon, when: func(s state) bool { return s.device.Path == "" }, do: note("x")},
		{name: "wanted", limit: soon, when: func(s state) bool { return s.device.Path == "1f2" }, do: note("3")},
	}, state{deadline: time.Hour})
	if s.device.Path != "1f23" {
		t.Errorf("the phases made %q, want %q", s.device.Path, "1f23")
	}
	got := lines(console.String())
	want := []string{
		"one: done in Ts",
		"fails: failed after Ts: first line; second line",
		"panics: failed after Ts: panic: runtime error: invalid memory address or nil pointer dereference",
		"needs one: done in Ts",
		"needs failed: skipped: fails did not succeed",
		"needs skipped: skipped: needs failed did not succeed",
		"wanted: done in Ts",
	}
	if len(got) != len(want) {
		t.Fatalf("console has %q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i, got[i], want[i])
		}
	}
}

// TestOverrun has phases that do not end when they are told to.
func TestOverrun(t *testing.T) {
	release := make(chan struct{})
	ended := make(chan struct{})
	r, console := testRun(machine{})
	s := r.carryOut([]phase{
		{name: "listens", limit: within(time.Millisecond), do: func(ctx context.Context, _ *run, s state) (state, error) {
			<-ctx.Done()
			return s, context.Cause(ctx)
		}},
		{name: "deaf", limit: within(time.Millisecond), grace: time.Millisecond, do: func(_ context.Context, _ *run, s state) (state, error) {
			defer close(ended)
			<-release
			s.device.Path = "late"
			return s, nil
		}},
		{name: "needs deaf", limit: within(time.Minute), needs: []string{"deaf"}, do: nil},
		{name: "goes on", limit: within(time.Minute), do: func(_ context.Context, _ *run, s state) (state, error) {
			close(release)
			<-ended
			return s, nil
		}},
	}, state{deadline: time.Hour})
	if s.device.Path != "" {
		t.Errorf("the late phase changed the state to %q", s.device.Path)
	}
	want := []string{
		"listens: failed after Ts: out of time",
		"deaf: gave up after Ts: out of time",
		"needs deaf: skipped: deaf did not succeed",
		"goes on: done in Ts",
	}
	if got := lines(console.String()); !slices.Equal(got, want) {
		t.Errorf("console has %q, want %q", got, want)
	}
}

// TestStall has phases that get on, and that do not. Its time is not real.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		r, console := testRun(machine{})
		minute := within(time.Minute)
		r.carryOut([]phase{
			{name: "moves", limit: within(time.Hour), stall: minute, do: func(ctx context.Context, _ *run, s state) (state, error) {
				for range 10 {
					time.Sleep(50 * time.Second)
					s.moved()
				}
				return s, context.Cause(ctx)
			}},
			{name: "stalls", limit: within(time.Hour), stall: minute, do: func(ctx context.Context, _ *run, s state) (state, error) {
				s.moved()
				<-ctx.Done()
				s.moved()
				return s, context.Cause(ctx)
			}},
			{name: "deaf", limit: within(time.Hour), stall: minute, grace: time.Second, do: func(_ context.Context, _ *run, s state) (state, error) {
				<-release
				return s, nil
			}},
			{name: "late", limit: within(time.Second), stall: minute, do: func(ctx context.Context, _ *run, s state) (state, error) {
				<-ctx.Done()
				return s, context.Cause(ctx)
			}},
		}, state{deadline: 24 * time.Hour})
		want := []string{
			"moves: done in 500.000s",
			"stalls: failed after 60.000s: nothing has moved for 1m0s",
			"deaf: gave up after 61.000s: nothing has moved for 1m0s",
			"late: failed after 1.000s: out of time",
		}
		got := strings.Split(strings.TrimSuffix(strings.ReplaceAll(console.String(), kmsgPrefix, ""), "\n"), "\n")
		if !slices.Equal(got, want) {
			t.Errorf("console has %q, want %q", got, want)
		}
	})
}

// TestHung has targets end that are well, or that have kept the run waiting.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		wait := func(ctx context.Context, _ *run, s state) (state, error) {
			<-ctx.Done()
			return s, context.Cause(ctx)
		}
		deaf := func(_ context.Context, _ *run, s state) (state, error) {
			<-release
			return s, nil
		}
		minute, hour := within(time.Minute), within(time.Hour)
		for _, test := range []struct {
			phase phase
			want  time.Duration
		}{
			{phase{limit: hour, do: func(_ context.Context, _ *run, s state) (state, error) { return s, errors.New("full") }}, 20 * time.Second},
			{phase{limit: minute, do: wait}, 20 * time.Second},
			{phase{limit: minute, do: deaf}, 5 * time.Second},
			{phase{limit: hour, stall: minute, do: wait}, 5 * time.Second},
			{phase{limit: hour, stall: minute, do: deaf}, 5 * time.Second},
		} {
			r, console := testRun(machine{})
			s := r.carryOut([]phase{test.phase}, state{deadline: 24 * time.Hour})
			began := time.Now()
			r.carryOut([]phase{{limit: leaving()[0].limit, do: wait}}, s)
			if got := time.Since(began); got != test.want {
				t.Errorf("the end of a target has %v, want %v after\n%s", got, test.want, console)
			}
		}
	})
}

// TestDeadline has a run whose time is over before it begins: only its last
// phases get any.
func TestDeadline(t *testing.T) {
	check := func(ctx context.Context, _ *run, s state) (state, error) { return s, context.Cause(ctx) }
	r, console := testRun(machine{})
	r.carryOut([]phase{
		{name: "long", limit: within(untilDeadline), do: check},
		{name: "short", limit: within(time.Minute), do: check},
		{name: "last", limit: within(time.Minute), last: true, do: check},
	}, state{deadline: -time.Hour})
	want := []string{
		"long: failed after Ts: out of time",
		"short: failed after Ts: out of time",
		"last: done in Ts",
	}
	if got := lines(console.String()); !slices.Equal(got, want) {
		t.Errorf("console has %q, want %q", got, want)
	}
}

// TestPhases checks what a typing error in the list would break: every phase is
// bounded, and needs only phases before it.
func TestPhases(t *testing.T) {
	seen := map[string]bool{}
	total := time.Duration(0)
	for _, p := range slices.Concat(before(), targetPhases(config.Target{Kind: "ext4"}), after()) {
		if p.name == "" || seen[p.name] || p.do == nil || p.limit == nil {
			t.Errorf("phase %q is not whole or there twice", p.name)
		}
		for _, need := range p.needs {
			if !seen[need] {
				t.Errorf("phase %s needs %s, which is not before it", p.name, need)
			}
		}
		seen[p.name] = true
		if p.last && p.when == nil {
			total += p.limit(initial(machine{})) + defaultGrace
		}
	}
	const end = 10*time.Second + 20*time.Second // sync and action
	if total+end > lastPhases {
		t.Errorf("the last phases take up to %v, more than lastPhases", total+end)
	}
}

func TestGivenUp(t *testing.T) {
	r, _ := testRun(machine{})
	if got := string(r.log.contents()); got != "\ngiven up: nothing\n" {
		t.Errorf("an empty log has %q", got)
	}
	for range 1000 {
		r.log.giveUp("dump: %s", strings.Repeat("x", 2*maxLine))
	}
	if got := len(r.log.contents()); got > maxReport-maxLog/2 { // the other half is for the kernel's log
		t.Errorf("the log has %d bytes", got)
	}
}

func TestLogIsBounded(t *testing.T) {
	r, console := testRun(machine{})
	long := strings.Repeat("x", 2*maxLine)
	const n = 1000
	for range n {
		r.log.printf("%s\x00\xff", long)
	}
	text := string(r.log.contents())
	if len(text) > maxLog+100 || !strings.Contains(text, "more lines had no room here\n") {
		t.Errorf("the log has %d bytes and ends in %q", len(text), text[len(text)-80:])
	}
	for line := range strings.Lines(console.String()) {
		if len(line) > 1000 {
			t.Fatalf("a line of %d bytes on the console", len(line))
		}
	}
	if got := strings.Count(console.String(), "\n"); got != n {
		t.Errorf("%d lines on the console, want %d", got, n)
	}
}
