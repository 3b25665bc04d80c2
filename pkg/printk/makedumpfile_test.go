// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
)

// The logs of the other tests' builders, in cores that makedumpfile reads, too.
// What the builders say of the kernel's structures is thereby checked by a
// reader that nobody here wrote.

// writeCore puts the machine's memory into a core of a kernel of the given release.
func writeCore(t *testing.T, m *machine, release string) string {
	t.Helper()
	era := coretest.Linux6_1()
	era.Release = release
	k := coretest.Kernel{
		Era:  era,
		RAM:  []mem.PhysRange{{Start: 1 << 20, End: 8 << 20}},
		Info: map[string]string{},
		Segments: func(segments []coretest.Segment) []coretest.Segment {
			for _, s := range segments {
				if s.Phys > basePhys || s.Virt+mem.VirtAddr(basePhys-s.Phys) != base64 {
					continue
				}
				for at, b := range m.pieces {
					copy(s.Data[basePhys-uint64(s.Phys)+at:], b)
				}
			}
			return segments
		},
	}
	for line := range strings.Lines(m.info.String()) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key != "OSRELEASE" && key != "PAGESIZE" {
			k.Info[key] = value
		}
	}
	return k.Write(t)
}

// makedumpfile returns the log that the installed makedumpfile finds in a core,
// and whether it prints callers.
func makedumpfile(t *testing.T, core string, opt Options) (log string, callers bool) {
	t.Helper()
	program, err := exec.LookPath("makedumpfile")
	if err != nil {
		t.Skip(err)
	}
	out := filepath.Join(t.TempDir(), "log")
	args := []string{"--dump-dmesg", core, out}
	if opt.SinceClear {
		args = append([]string{"--partial-dmesg"}, args...)
	}
	if msg, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("makedumpfile %q: %v\n%s", args, err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), regexp.MustCompile(`(?m)^\[ *\d+\.\d{6}\] \[ *[TC]\d+\] `).Match(b)
}

// compare compares the logs that makedumpfile and Write find in the machine.
func compare(t *testing.T, m *machine, release string, opt Options) {
	t.Helper()
	want, callers := makedumpfile(t, writeCore(t, m, release), opt)
	opt.Caller = callers
	got, _, err := write(t, m, opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, ring := m.pieces[addrPrb]; ring { // it drops empty lines from these only
		got = regexp.MustCompile(`(?m)^\[ *\d+\.\d{6}\] (\[ *[TC]\d+\] )?\n`).ReplaceAllString(got, "")
	}
	if got != want {
		t.Errorf("Write wrote\n%sand makedumpfile\n%s", got, want)
	}
}

func TestRingAgainstMakedumpfile(t *testing.T) {
	// Where the two differ, and why ours is right.
	differ := map[string]string{
		"hostile text":                        "it lets some control characters pass and widens the sign of others",
		"positions that no writer makes":      "it prints whatever is there",
		"head out of this world":              "it walks 2^62 ids",
		"head and tail zero, ring been round": "it believes them and prints the one record between",
		"salvage with one record lost":        "it walks 2^62 ids",
	}
	for _, test := range ringTests {
		t.Run(test.name, func(t *testing.T) {
			if why := differ[test.name]; why != "" {
				t.Skip(why)
			}
			b := newRingBuilder(8, binary.LittleEndian, 3, 8, false, 0)
			b.run(t, test.spec)
			b.build()
			compare(t, &b.machine, "6.1.0", test.opt)
		})
	}
	t.Run("wrapped", func(t *testing.T) {
		rnd := rand.New(rand.NewSource(2))
		for range 20 {
			b := newRingBuilder(8, binary.LittleEndian, 4, 9, false, 8)
			for i := range 20 + rnd.Intn(60) {
				b.log(descFinalized, uint64(i)*1e9, 7, fmt.Sprintf("%d:%s", i, strings.Repeat("x", rnd.Intn(10)*8)))
			}
			b.build()
			compare(t, &b.machine, "6.1.0", Options{})
		}
	})
}

// TestExactEnd shows what makedumpfile up to 1.7.9 loses of a kernel since 6.19,
// whose text blocks may end exactly where the ring does.
func TestExactEnd(t *testing.T) {
	b := newRingBuilder(8, binary.LittleEndian, 3, 8, true, 0)
	b.log(descFinalized, 1e9, 7, strings.Repeat("a", 120))
	b.log(descFinalized, 2e9, 7, strings.Repeat("b", 120)) // bytes 128 to 256
	b.build()
	want := "[    1.000000] " + strings.Repeat("a", 120) + "\n[    2.000000] " + strings.Repeat("b", 120) + "\n"
	if got, _, err := write(t, &b.machine, Options{}); got != want || err != nil {
		t.Errorf("Write = %v, wrote\n%swant\n%s", err, got, want)
	}
	if theirs, _ := makedumpfile(t, writeCore(t, &b.machine, "6.19.0"), Options{}); strings.Contains(theirs, "bbb") {
		t.Logf("this makedumpfile reads the last block, too:\n%s", theirs)
	} else {
		t.Logf("makedumpfile has, instead of the last block,\n%s", theirs)
	}
}

func TestRecordsAgainstMakedumpfile(t *testing.T) {
	b := newRecordBuilder(8, binary.LittleEndian, 4096)
	for i := range 160 {
		b.log(uint64(i)*12345678901, 7, strings.Repeat("line\n", i%3)+strings.Repeat("z", i%50), strings.Repeat("SUBSYSTEM=net", i%2))
	}
	if b.next >= b.first {
		t.Fatal("the buffer has not wrapped: the test tests little")
	}
	b.build("printk_log")
	compare(t, &b.machine, "5.4.0", Options{})
	b.clear = b.ats[len(b.ats)-9]
	b.variable("clear_idx", addrClearIdx, 4, uint64(b.clear))
	compare(t, &b.machine, "5.4.0", Options{SinceClear: true})
}

func TestCharsAgainstMakedumpfile(t *testing.T) {
	for _, lines := range []int{3, 100} {
		m := newMachine(8, binary.LittleEndian)
		var log []byte
		for i := range lines {
			log = fmt.Appendf(log, "<6>[%5d.000000] line %d\n", i, i)
		}
		buf := make([]byte, 1024)
		for i, c := range log {
			buf[i%len(buf)] = c
		}
		m.pieces[addrLogBuf] = buf
		m.variable("log_buf", addrLogBufVar, 8, m.base+addrLogBuf)
		m.variable("log_buf_len", addrLogBufLen, 4, uint64(len(buf)))
		m.variable("log_end", addrNextIdx, 4, uint64(len(log)))
		compare(t, &m, "2.6.32", Options{})
	}
}
