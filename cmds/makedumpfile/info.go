// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package makedumpfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
	"github.com/ukdump/ukdump/pkg/vmlinux"
)

// readInfo gives core the VMCOREINFO, or those of its keys, that it lacks.
func (a *applet) readInfo(core *vmcore.Core) error {
	path := a.InfoFile
	read := readInfoFile
	if a.Vmlinux != "" {
		path, read = a.Vmlinux, vmlinux.ReadInfo
	}
	text, err := read(path)
	if err != nil {
		return err
	}
	info, err := vmlinux.Relocate(core, text)
	if err != nil {
		if errors.Is(err, vmlinux.ErrMismatch) && a.InfoFile != "" {
			a.failed = 2 // as with makedumpfile
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	core.Info, core.InfoErr = info, nil
	return nil
}

// readInfoFile reads a file with VMCOREINFO.
func readInfoFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, vmcoreinfo.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// writeInfo writes a file with the VMCOREINFO of a kernel, but for what is only
// known of one boot.
func (a *applet) writeInfo() error {
	text, err := vmlinux.ReadInfo(a.Vmlinux)
	if err != nil {
		return err
	}
	a.Force = true // makedumpfile does not ask here
	out, err := a.create(a.WriteInfo)
	if err != nil {
		return err
	}
	defer out.abort()
	if _, err := out.Write(text); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	a.print(a.messages, commonMessages, "\nThe vmcoreinfo is saved to %s.\n", a.WriteInfo)
	return nil
}
