// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

type writer func(context.Context, io.WriterAt, *Job) (Stats, error)

// flattened is write through a FlatWriter.
func flattened(write writer) writer {
	return func(ctx context.Context, out io.WriterAt, job *Job) (Stats, error) {
		var b bytes.Buffer
		w, err := diskdump.NewFlatWriter(&b)
		if err != nil {
			return Stats{}, err
		}
		stats, err := write(ctx, w, job)
		if err != nil {
			return stats, err
		}
		if err := w.Close(); err != nil {
			return stats, err
		}
		_, err = out.WriteAt(b.Bytes(), 0)
		return stats, err
	}
}

// TestOpen writes cores in every format to files and opens them.
func TestOpen(t *testing.T) {
	c := newTestCore(4096, 700)
	for _, test := range []struct {
		name, format string
		write        writer
	}{
		{"ELF", "ELF", WriteELF},
		{"dump", "kdump-compressed", WriteDiskdump},
		{"flattened ELF", "flattened", flattened(WriteELF)},
		{"flattened dump", "flattened", flattened(WriteDiskdump)},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "vmcore")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := test.write(context.Background(), f, c.job(c.source(t), compress.Zstd, 1, 1)); err != nil {
				t.Fatal(err)
			}
			core, err := vmcore.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if core.Format != test.format {
				t.Errorf("format %q, want %q", core.Format, test.format)
			}
			c.checkCore(t, core)
		})
	}
}

// checkCore reads all kept pages of an open core and closes it.
func (c *testCore) checkCore(t *testing.T, core *vmcore.Core) {
	t.Helper()
	got := make([]byte, 4096)
	for p := c.kept.NextSet(0); p < c.kept.Len(); p = c.kept.NextSet(p + 1) {
		if err := core.ReadPhys(got, p.Phys(12)); err != nil || !bytes.Equal(got, c.pages[p]) {
			t.Fatalf("page frame %d: %v", p, err)
		}
	}
	if core.InfoErr != nil || core.Info.OSRelease() != "6.1.0-test" {
		t.Errorf("VMCOREINFO: %v", core.InfoErr)
	}
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	if err := core.ReadPhys(got, mem.PFN(16).Phys(12)); err == nil {
		t.Error("Close has not closed the file")
	}
}

func TestOpenParts(t *testing.T) {
	c := newTestCore(4096, 700)
	dir := t.TempDir()
	var paths []string
	var outs []io.WriterAt
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprint(i))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		paths, outs = append(paths, path), append(outs, f)
	}
	if _, err := WriteSplit(context.Background(), outs, c.job(c.source(t), compress.Zstd, 31, 0)); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(paths)
	core, err := vmcore.OpenParts(paths)
	if err != nil {
		t.Fatal(err)
	}
	c.checkCore(t, core)
	if core, err := vmcore.OpenParts(append(paths, paths[0])); err == nil {
		t.Errorf("a part twice: %v, want an error", core)
	}
	if core, err := vmcore.OpenParts([]string{paths[0], dir}); err == nil {
		t.Errorf("a directory: %v, want an error", core)
	}
}
