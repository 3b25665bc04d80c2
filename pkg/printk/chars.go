// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

// Before Linux 3.5 the log is a ring of characters, lines with "<6>" and, by
// configuration, a time before them. log_end counts all that was ever written,
// logged_chars what was since the last clear; both wrap at the size of an int.

// writeChars writes the log of a kernel that has the character layout.
func (r *reader) writeChars() error {
	buf, base, size, err := r.openBuf()
	if err != nil {
		return err
	}
	end, err := r.variable("log_end", 4)
	if err != nil {
		return err
	}
	n := min(end, size)
	if _, ok := r.kernel.Symbol("logged_chars"); ok && r.opt.SinceClear {
		logged, err := r.variable("logged_chars", 4)
		if err != nil {
			return err
		}
		n = min(n, logged)
	}
	for n > 0 {
		at := (end - n) % size
		// Not across pages: what cannot be read costs no more than its page.
		part := min(n, size-at, 4096-(base+at)%4096)
		n -= part
		text, err := buf.Read(at, part)
		if err != nil {
			r.stats.damage("log_buf+%#x: %w", at, err)
			continue
		}
		r.stats.Records = 1
		if err := r.out.text(text, nil); err != nil {
			return err
		}
	}
	return nil
}
