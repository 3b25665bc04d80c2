// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dumpinfo

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// info is what the applet prints. Strings come from the crashed kernel.
type info struct {
	Files    []string `json:"files"`
	Format   string   `json:"format"`
	Version  int      `json:"header_version,omitempty"`
	Complete bool     `json:"complete"`
	Release  string   `json:"release"`
	Build    string   `json:"version,omitempty"` // uname -v
	Node     string   `json:"nodename,omitempty"`
	Machine  string   `json:"machine"`
	Time     string   `json:"crash_time,omitempty"` // RFC 3339, UTC
	CPUs     int      `json:"cpus"`
	Level    *int     `json:"dump_level,omitempty"` // nil: unknown
	PageSize uint64   `json:"page_size"`
	Pages    pages    `json:"pages"`
	Codecs   []share  `json:"codecs,omitempty"`
	Bytes    int64    `json:"bytes"`
	Findings []string `json:"findings,omitempty"`
}

// pages are numbers of pages.
type pages struct {
	RAM      uint64 `json:"ram"`
	Dumped   uint64 `json:"dumped"`
	Excluded uint64 `json:"excluded"`
	Missing  uint64 `json:"missing"` // of the dumped: their data was lost
	Shared   uint64 `json:"shared"`  // of the dumped: they have the data of another page
}

// share is what one codec has of the pages.
type share struct {
	Codec string `json:"codec"`
	Pages uint64 `json:"pages"`
	Bytes uint64 `json:"bytes"`
}

// summarize says what is in core, which was opened from paths.
func summarize(core *vmcore.Core, paths []string) (*info, error) {
	i := &info{
		Files: paths, Format: core.Format, Complete: true,
		Machine: core.Machine(), PageSize: core.PageSize(),
		CPUs: elfcore.CountCPUs(core.Notes(), core.Order()),
	}
	for _, path := range paths {
		stat, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		i.Bytes += stat.Size()
	}
	if core.Info != nil {
		i.Release, i.PageSize = core.Info.OSRelease(), core.Info.PageSize()
		i.setTime(core.Info.CrashTime())
	}
	switch s := core.Source.(type) {
	case *diskdump.Dump:
		return i, i.addDumps(s.Meta(), []*diskdump.Dump{s})
	case *diskdump.Set:
		return i, i.addDumps(s.Meta(), s.Parts())
	case *elfcore.Core:
		i.Complete = !s.Incomplete()
	}
	return i, i.countPages(core)
}

func (i *info) setTime(seconds int64) {
	if seconds != 0 {
		i.Time = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	}
}

// addDumps adds what is in a kdump-compressed dump, or in the parts of one.
func (i *info) addDumps(m *diskdump.Meta, parts []*diskdump.Dump) error {
	level := m.Level
	i.Level, i.Version = &level, parts[0].Version()
	i.Release, i.Build, i.Node = cmp.Or(m.Uts.Release, i.Release), m.Uts.Version, m.Uts.Nodename
	i.CPUs, i.PageSize = m.CPUs, uint64(m.BlockSize)
	i.setTime(m.Time)
	codecs := map[compress.Codec]diskdump.Share{}
	for _, d := range parts {
		c, err := d.Census()
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(i.Files, ", "), err)
		}
		i.Pages.RAM = c.RAM
		i.Pages.Dumped += c.Dumped
		i.Pages.Missing += c.Lost
		i.Pages.Shared += c.Shared
		for codec, s := range c.Codecs {
			sum := codecs[codec]
			codecs[codec] = diskdump.Share{Pages: sum.Pages + s.Pages, Bytes: sum.Bytes + s.Bytes}
		}
	}
	i.Pages.Excluded = i.Pages.RAM - min(i.Pages.RAM, i.Pages.Dumped)
	i.Complete = m.Status&diskdump.Incomplete == 0 && i.Pages.Missing == 0
	for codec, s := range codecs {
		i.Codecs = append(i.Codecs, share{codec.String(), s.Pages, s.Bytes})
	}
	slices.SortFunc(i.Codecs, func(a, b share) int { return strings.Compare(a.Codec, b.Codec) })
	return nil
}

// countPages counts the pages of a core that has no descriptors.
func (i *info) countPages(core *vmcore.Core) error {
	if i.PageSize == 0 {
		return nil // nothing says how large they are
	}
	ram, present := bitmaps(core, i.PageSize)
	i.Pages.RAM, i.Pages.Dumped = ram.Count(), present.Count()
	i.Pages.Excluded = i.Pages.RAM - min(i.Pages.RAM, i.Pages.Dumped)
	return nil
}

// bitmaps returns which page frames are memory and which the core has.
func bitmaps(core *vmcore.Core, pageSize uint64) (ram, present *mem.Bitmap) {
	shift := uint(bits.TrailingZeros64(pageSize))
	n := (core.End() + mem.PhysAddr(pageSize-1)).PFN(shift)
	ram, present = mem.NewBitmap(n), mem.NewBitmap(n)
	core.FillRAM(ram, shift)
	core.FillPresent(present, shift)
	return ram, present
}

// levelNames are what the bits of a dump level leave out.
var levelNames = [...]string{"zero pages", "page cache", "page cache with private data", "user memory", "free pages"}

// print prints the summary for people.
func (i *info) print(w io.Writer, verified bool) error {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	text := func(name, s string) {
		if s != "" {
			line(name, "%s", printable(s))
		}
	}
	line("file", "%s", strings.Join(i.Files, " "))
	if i.Version != 0 {
		line("format", "%s, header version %d", i.Format, i.Version)
	} else {
		line("format", "%s", i.Format)
	}
	switch {
	case i.Complete:
		line("complete", "yes")
	case i.Pages.Missing == 0:
		line("complete", "no")
	default:
		line("complete", "no, %d pages are missing", i.Pages.Missing)
	}
	text("release", i.Release)
	text("version", i.Build)
	text("node", i.Node)
	text("machine", i.Machine)
	text("crashed", i.Time)
	line("CPUs", "%d", i.CPUs)
	if i.Level != nil {
		line("dump level", "%s", levelText(*i.Level))
	}
	i.printPages(line)
	line("size", "%d bytes (%s)", i.Bytes, size(uint64(i.Bytes)))
	for _, f := range i.Findings {
		fmt.Fprintf(&b, "wrong: %s\n", printable(f))
	}
	if verified && len(i.Findings) == 0 {
		line("verified", "nothing is wrong")
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (i *info) printPages(line func(name, format string, args ...any)) {
	if i.PageSize == 0 {
		return
	}
	count := func(name string, n uint64) {
		line(name, "%d pages of %d bytes (%s)", n, i.PageSize, size(n*i.PageSize))
	}
	count("memory", i.Pages.RAM)
	count("dumped", i.Pages.Dumped)
	count("excluded", i.Pages.Excluded)
	if i.Pages.Shared > 0 {
		line("shared", "%d of the dumped pages have the data of another", i.Pages.Shared)
	}
	for _, c := range i.Codecs {
		line(c.Codec, "%d pages in %d bytes, %.1f %% of their size", c.Pages, c.Bytes,
			100*float64(c.Bytes)/float64(c.Pages*i.PageSize))
	}
}

// levelText says what a dump level leaves out.
func levelText(level int) string {
	var out []string
	for bit, name := range levelNames {
		if level>>bit&1 != 0 {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("%d: nothing is left out", level)
	}
	return fmt.Sprintf("%d: without %s", level, strings.Join(out, ", "))
}

// size returns a number of bytes in a unit that suits it.
func size(n uint64) string {
	const units = "KMGTPE"
	value, unit := float64(n), -1
	for value >= 1024 {
		value /= 1024
		unit++
	}
	if unit < 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// printable makes text from a crashed kernel safe for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}
