// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/efivar"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/lastlog"
	"github.com/ukdump/ukdump/pkg/printk"
)

const (
	// pmsg takes texts for the next boot, where the kernel has some memory for
	// that (Documentation/admin-guide/ramoops.rst and pstore-blk.rst).
	pmsg = "pmsg0"
	// maxLastLog and maxLastReport bound what is kept of the kernel log and of
	// our own, in bytes.
	maxLastLog    = 128 << 10
	maxLastReport = 12 << 10
)

// wantsLastLog reports whether no target has taken the kernel log.
func wantsLastLog(s state) bool {
	return !s.refused && s.outcome().worth() == 0 && s.core != nil && s.effort < nothing
}

// saveLastLog keeps the end of the kernel log, and what this run did, in the
// machine itself, where the next boot finds it.
func saveLastLog(ctx context.Context, r *run, s state) (state, error) {
	if len(s.config.Encrypt) > 0 {
		return s, errors.New("what is kept in the machine cannot be encrypted")
	}
	dmesg, err := endOfLog(s)
	if err != nil {
		r.log.giveUp("lastlog: %v", err)
	}
	var errs []error
	for _, place := range []struct {
		name string
		keep func(ctx context.Context, r *run, s state, dmesg, report []byte) error
	}{{"firmware", keepInFirmware}, {"pstore", keepInMemory}} {
		kept := s
		if len(dmesg) > 0 {
			kept.lastLog = place.name
		}
		report := r.reportText(kept)
		err := place.keep(ctx, r, s, dmesg, report[max(0, len(report)-maxLastReport):])
		if err == nil {
			return kept, nil
		}
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// endOfLog returns the end of the crashed kernel's log.
func endOfLog(s state) ([]byte, error) {
	space, err := addrxlat.New(s.core)
	if err != nil {
		return nil, err
	}
	kernel := kstruct.New(s.core.Info, space, s.core.Order())
	var end tail
	if _, err := printk.Write(&end, kernel, space, s.core.Order(), printk.Options{}); err == nil {
		return end.bytes(maxLastLog), nil
	}
	end = tail{}
	_, err = printk.WriteText(&end, kernel, space, s.core.Order())
	return end.bytes(maxLastLog), err
}

// keepInFirmware writes the texts to variables. What matters most comes first:
// that is why there is no more, and the end of the log.
func keepInFirmware(ctx context.Context, r *run, s state, dmesg, report []byte) error {
	if s.vars == nil {
		return errors.New("this machine has no EFI variables")
	}
	crashed := crashTime(s.core)
	for _, text := range []struct {
		file lastlog.File
		text []byte
	}{{lastlog.Report, report}, {lastlog.Dmesg, dmesg}} {
		pieces, err := lastlog.Pack(text.file, crashed, text.text, efivar.MaxData)
		if err != nil {
			return err
		}
		for i, piece := range pieces {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err := s.vars.Write(lastlog.Name(text.file, crashed, i), piece)
			if errors.Is(err, efivar.ErrNoRoom) && i > 0 {
				r.log.printf("lastlog: %d of %d pieces: %v", i, len(pieces), err)
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// keepInMemory writes the texts to memory that the next boot finds as it is, on
// machines that have such.
func keepInMemory(_ context.Context, r *run, _ state, dmesg, report []byte) error {
	if !r.machine.ours {
		return errors.New("this is no capture kernel")
	}
	f, err := os.OpenFile(filepath.Join(r.machine.dev, pmsg), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// The end of what is written is what is kept.
	_, err = f.Write(slices.Concat(report, dmesg))
	return errors.Join(err, f.Close())
}

// tail keeps the end of what is written to it: maxLastLog bytes at the least.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	if over := t.buf.Len() - 2*maxLastLog; over > 0 {
		t.buf.Next(over + maxLastLog)
	}
	return t.buf.Write(p)
}

// bytes returns the last n bytes; if there are more, from the beginning of a line
// on, and it says so.
func (t *tail) bytes(n int) []byte {
	b := t.buf.Bytes()
	if len(b) <= n {
		return b
	}
	_, rest, _ := bytes.Cut(b[len(b)-n:], []byte("\n"))
	return append([]byte("[there was no room for what comes before]\n"), rest...)
}
