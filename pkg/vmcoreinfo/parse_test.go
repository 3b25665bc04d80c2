// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcoreinfo

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
)

// minimal is the least that Parse accepts.
const minimal = "OSRELEASE=6.1.0-1-amd64\nPAGESIZE=4096\n"

func TestParse(t *testing.T) {
	info, err := Parse([]byte(minimal + `BUILD-ID=3b43fad5034874490492495d552c0af6a5fab235
CRASHTIME=1700000000
KERNELOFFSET=36e00000
SYMBOL(init_uts_ns)=ffffffffb99f9b60
SIZE(page)=64
OFFSET(page.flags)=0
OFFSET(page.compound_order)=17
LENGTH(zone.free_area)=11
NUMBER(PG_lru)=4
NUMBER(phys_base)=-620756992
NUMBER(VMALLOC_START)=0xff65d6da80000000
NUMBER(kimage_voffset)=0xffff800008000000
NUMBER(TCR_EL1_T1SZ)=0x19
NUMBER(no_prefix)=ff
CONFIG_ARM64_LPA2=y
a line without an equals sign
EMPTY=
`))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got any, known bool, want any) {
		t.Helper()
		if got != want || !known {
			t.Errorf("%s = %v, %v, want %v, true", what, got, known, want)
		}
	}
	symbol, ok := info.Symbol("init_uts_ns")
	check("Symbol", symbol, ok, mem.VirtAddr(0xffffffffb99f9b60))
	size, ok := info.Size("page")
	check("Size", size, ok, uint64(64))
	offset, ok := info.Offset("page.compound_order")
	check("Offset", offset, ok, uint64(17))
	offset, ok = info.Offset("page.flags")
	check("Offset of 0", offset, ok, uint64(0))
	length, ok := info.Length("zone.free_area")
	check("Length", length, ok, uint64(11))
	for name, want := range map[string]int64{
		"PG_lru": 4, "phys_base": -620756992, "VMALLOC_START": -0x9a292580000000,
		"kimage_voffset": -0x7ffff8000000, "TCR_EL1_T1SZ": 0x19, "no_prefix": 0xff,
	} {
		number, ok := info.Number(name)
		check("Number of "+name, number, ok, want)
	}
	config, ok := info.Value("CONFIG_ARM64_LPA2")
	check("Value", config, ok, "y")
	empty, ok := info.Value("EMPTY")
	check("empty Value", empty, ok, "")
	check("OSRelease", info.OSRelease(), true, "6.1.0-1-amd64")
	check("PageSize", info.PageSize(), true, uint64(4096))
	check("PageShift", info.PageShift(), true, uint(12))
	check("CrashTime", info.CrashTime(), true, int64(1700000000))
	check("KernelOffset", info.KernelOffset(), true, uint64(0x36e00000))

	if v, ok := info.Symbol("none"); ok {
		t.Errorf("Symbol of nothing = %v", v)
	}
	if v, ok := info.Number("page"); ok {
		t.Errorf("Number of a size = %d", v)
	}
}

// TestParseEras reads what real kernels say.
func TestParseEras(t *testing.T) {
	for _, era := range coretest.Eras() {
		info, err := Parse([]byte(coretest.Kernel{Era: era}.Build().Info))
		if err != nil {
			t.Errorf("%s: %v", era.Release, err)
			continue
		}
		if got := info.OSRelease(); got != era.Release {
			t.Errorf("OSRelease() = %s, want %s", got, era.Release)
		}
	}
}

func TestParsePadding(t *testing.T) {
	info, err := Parse([]byte(minimal + "\x00\x00PAGESIZE=12345\n" + strings.Repeat("\x00", 4000)))
	if err != nil || info.PageSize() != 4096 {
		t.Errorf("Parse() of a padded note = %v, %v", info, err)
	}
	if info, err := Parse([]byte(strings.TrimSuffix(minimal, "\n"))); err != nil || info.PageSize() != 4096 {
		t.Errorf("Parse() without a newline at the end = %v, %v", info, err)
	}
}

// TestParseBad gives Parse what it must refuse. Errors name the key.
func TestParseBad(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "OSRELEASE"},
		{"binary", "\xff\xfe\x80", "OSRELEASE"},
		{"no OSRELEASE", "PAGESIZE=4096\n", "OSRELEASE"},
		{"empty OSRELEASE", "OSRELEASE=\nPAGESIZE=4096\n", "OSRELEASE"},
		{"no PAGESIZE", "OSRELEASE=6.1\n", "PAGESIZE"},
		{"page size 0", "OSRELEASE=6.1\nPAGESIZE=0\n", "PAGESIZE"},
		{"page size 4095", "OSRELEASE=6.1\nPAGESIZE=4095\n", "PAGESIZE"},
		{"page size 2048", "OSRELEASE=6.1\nPAGESIZE=2048\n", "PAGESIZE"},
		{"page size 1 GiB", "OSRELEASE=6.1\nPAGESIZE=1073741824\n", "PAGESIZE"},
		{"negative page size", "OSRELEASE=6.1\nPAGESIZE=-4096\n", "PAGESIZE"},
		{"page size in words", "OSRELEASE=6.1\nPAGESIZE=four\n", "PAGESIZE"},
		{"release twice", minimal + "OSRELEASE=6.2\n", "OSRELEASE"},
		{"page size twice", minimal + "PAGESIZE=16384\n", "PAGESIZE"},
		{"symbol twice", minimal + "SYMBOL(a)=1\nSYMBOL(a)=2\n", "SYMBOL(a)"},
		{"symbol that is no number", minimal + "SYMBOL(a)=zz\n", "SYMBOL(a)"},
		{"symbol without a value", minimal + "SYMBOL(a)=\n", "SYMBOL(a)"},
		{"symbol too large", minimal + "SYMBOL(a)=1ffffffffffffffff\n", "SYMBOL(a)"},
		{"negative size", minimal + "SIZE(page)=-1\n", "SIZE(page)"},
		{"hexadecimal size", minimal + "SIZE(page)=0x40\n", "SIZE(page)"},
		{"offset too large", minimal + "OFFSET(a.b)=99999999999999999999\n", "OFFSET(a.b)"},
		{"length that is no number", minimal + "LENGTH(a)=1 \n", "LENGTH(a)"},
		{"number that is none", minimal + "NUMBER(a)=yes\n", "NUMBER(a)"},
		{"number too large", minimal + "NUMBER(a)=99999999999999999999\n", "NUMBER(a)"},
		{"time that is none", minimal + "CRASHTIME=now\n", "CRASHTIME"},
		{"offset that is none", minimal + "KERNELOFFSET=-1\n", "KERNELOFFSET"},
		{"escape sequences", minimal + "NUMBER(\x1b[2J)=\x1b[2J", "NUMBER("},
		{"long value", minimal + "NUMBER(a)=" + strings.Repeat("x", 10000), "NUMBER(a)"},
		{"long key", minimal + "NUMBER(" + strings.Repeat("x", 10000) + ")=y\n", "NUMBER(xxx"},
		{"too long", minimal + strings.Repeat("#", MaxSize), "bytes"},
	} {
		_, err := Parse([]byte(test.text))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Parse() = %v, want an error that wraps %v and names %s", test.name, err, ErrInvalid, test.want)
			continue
		}
		if n := len(err.Error()); n > 250 || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s: the error has %d bytes, want a short line", test.name, n)
		}
	}
}

// TestParseDoubled has keys twice with the same value, as kernels had them at
// times.
func TestParseDoubled(t *testing.T) {
	info, err := Parse([]byte(minimal + "SIZE(list_head)=16\nSIZE(list_head)=16\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := info.Size("list_head"); n != 16 || !ok {
		t.Errorf("Size() = %d, %v, want 16, true", n, ok)
	}
}

func TestParseLimits(t *testing.T) {
	info, err := Parse([]byte(minimal + "NUMBER(least)=-9223372036854775808\nNUMBER(most)=9223372036854775807\n" +
		"SYMBOL(top)=ffffffffffffffff\nOFFSET(far)=18446744073709551615\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := info.Number("least"); n != math.MinInt64 {
		t.Errorf("least Number = %d, want %d", n, math.MinInt64)
	}
	if n, _ := info.Number("most"); n != math.MaxInt64 {
		t.Errorf("most Number = %d, want %d", n, int64(math.MaxInt64))
	}
	if n, _ := info.Symbol("top"); n != math.MaxUint64 {
		t.Errorf("top Symbol = %v, want %#x", n, uint64(math.MaxUint64))
	}
	if n, _ := info.Offset("far"); n != math.MaxUint64 {
		t.Errorf("far Offset = %d, want %d", n, uint64(math.MaxUint64))
	}
}

func FuzzParse(f *testing.F) {
	for _, era := range coretest.Eras() {
		f.Add([]byte(coretest.Kernel{Era: era}.Build().Info))
	}
	f.Add([]byte(minimal + "NUMBER(a)=0x1f\nNUMBER(b)=-1\n\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v does not wrap %v", err, ErrInvalid)
			}
			return
		}
		if info.OSRelease() == "" || info.PageSize()>>info.PageShift() != 1 {
			t.Errorf("release %q, page size %d, shift %d", info.OSRelease(), info.PageSize(), info.PageShift())
		}
		// What was accepted is accepted again.
		if _, err := Parse(info.Raw()); err != nil {
			t.Errorf("the second time: %v", err)
		}
	})
}
