// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"fmt"

	"github.com/ukdump/ukdump/pkg/collector"
)

// report prints what was written, if it was asked for. The text has the lines
// of makedumpfile's, which people's scripts look for, with decimal numbers beside
// its hexadecimal ones.
func (a *applet) report(r *collector.Report) {
	if a.JSON {
		a.reportJSON(r)
		return
	}
	if !a.ShowStats && a.MessageLevel&reportMessages == 0 {
		return
	}
	excluded := r.Zero + r.Excluded.Cache + r.Excluded.CachePrivate + r.Excluded.User +
		r.Excluded.Free + r.Excluded.HWPoison + r.Excluded.Offline + r.Excluded.StructPages
	fmt.Fprintln(a.messages)
	for _, l := range []struct {
		name  string
		pages uint64
	}{
		{"Original pages  ", r.RAM},
		{"  Excluded pages   ", excluded},
		{"    Pages filled with zero  ", r.Zero},
		{"    Non-private cache pages ", r.Excluded.Cache},
		{"    Private cache pages     ", r.Excluded.CachePrivate},
		{"    User process data pages ", r.Excluded.User},
		{"    Free pages              ", r.Excluded.Free},
		{"    Hwpoison pages          ", r.Excluded.HWPoison},
		{"    Offline pages           ", r.Excluded.Offline},
		{"    Struct pages            ", r.Excluded.StructPages},
		{"  Remaining pages  ", r.Kept - r.Zero},
		{"  Unreadable pages ", r.Unreadable},
		{"  Unwritten pages  ", r.Unwritten},
	} {
		fmt.Fprintf(a.messages, "%s: %#016x %12d\n", l.name, l.pages, l.pages)
	}
	fmt.Fprintf(a.messages, "  (The number of pages is reduced to %d%%.)\n", (r.Kept-r.Zero)*100/max(r.RAM, 1))
	fmt.Fprintf(a.messages, "Write bytes     : %d\n", r.Bytes)
}

// reportJSON prints one object. Every value is a number or a truth value, so
// that nothing needs quoting.
func (a *applet) reportJSON(r *collector.Report) {
	fmt.Fprintf(a.messages, `{"level":%d,"page_size":%d,"pages_ram":%d,"pages_kept":%d,"pages_zero":%d,`+
		`"excluded":{"cache":%d,"cache_private":%d,"user":%d,"free":%d,"hwpoison":%d,"offline":%d,"struct_pages":%d},`+
		`"pages_unreadable":%d,"pages_unwritten":%d,"bytes":%d,"complete":%t}`+"\n",
		r.Level, r.PageSize, r.RAM, r.Kept, r.Zero,
		r.Excluded.Cache, r.Excluded.CachePrivate, r.Excluded.User, r.Excluded.Free,
		r.Excluded.HWPoison, r.Excluded.Offline, r.Excluded.StructPages,
		r.Unreadable, r.Unwritten, r.Bytes, !r.Incomplete())
}
