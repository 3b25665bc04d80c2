// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"
)

// TestFailure lets captures fail. Whatever happens the machine reboots, says
// why, and keeps what could be saved.
func TestFailure(t *testing.T) {
	begin(t)
	const (
		target  = "ext4 UUID=" + uuid
		absent  = "ext4 UUID=ffffffff-0000-4000-8000-000000000000|device_timeout 3s"
		generic = kdumpctl + "build --generic"
	)
	for _, tt := range []struct {
		name  string
		size  string // of the target's disk
		conf  string
		arm   []string
		said  []string
		files []string // that the dump's directory has; nil if there is none
	}{
		{
			name: "target absent", conf: absent,
			arm:  []string{generic, kdumpctl + "load"},
			said: []string{"ukdump: device: ", "ukdump: result=failed", "ukdump: end action=reboot"},
		},
		{
			name: "shell", conf: absent + "|failure_action shell|shell_timeout 3s",
			arm:  []string{generic, kdumpctl + "load"},
			said: []string{"ukdump: shell: open for 3s", "ukdump: result=failed", "ukdump: end action=reboot"},
		},
		{
			name: "disk full", size: "20M", conf: target,
			arm:   []string{kdumpctl + "build", kdumpctl + "load"},
			said:  []string{"no space left on device", "ukdump: result=partial", "ukdump: end action=reboot"},
			files: []string{"kdump.log", "vmcore-dmesg.txt", "vmcore-incomplete"},
		},
		{
			name: "deadline", size: "4G", conf: target + "|core_collector makedumpfile -c -d 0|deadline 6s",
			arm:   []string{kdumpctl + "build", kdumpctl + "load"},
			said:  []string{"ukdump: result=partial", "ukdump: end action=reboot"},
			files: []string{"kdump.log", "vmcore-dmesg.txt", "vmcore-incomplete"},
		},
		{
			// The capture kernel does not get as far as our first line.
			name: "capture kernel panics", conf: target,
			arm:  []string{kdumpctl + "build", kdumpctl + "load --append rdinit=/none"},
			said: []string{"No working init found", "Rebooting in 10 seconds"},
		},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			s := scenario{suite: suites()[0], fs: "ext4", size: tt.size,
				arm: append([]string{"write /etc/kdump.conf " + tt.conf}, tt.arm...)}
			console, saved := s.crash(t)
			wantSaid(t, console, tt.said...)
			if tt.files == nil {
				wantFiles(t, saved, "lost+found")
				return
			}
			dump := onlyDump(t, filepath.Join(saved, "var/crash"))
			wantFiles(t, dump, tt.files...)
			log := readFile(t, filepath.Join(dump, "vmcore-dmesg.txt"))
			if !strings.Contains(log, "sysrq triggered crash") {
				t.Error("vmcore-dmesg.txt does not have the panic")
			}
			wantIncomplete(t, filepath.Join(dump, "vmcore-incomplete"))
		})
	}
}

// wantIncomplete requires that the file is a dump that says of itself that it
// lacks pages, and that the pages in it can be read.
func wantIncomplete(t *testing.T, path string) {
	t.Helper()
	dump := openDump(t, path)
	const status, incomplete = 424, 8 // DUMP_DH_COMPRESSED_INCOMPLETE
	if flags := binary.LittleEndian.Uint32(dump.data[status:]); flags&incomplete == 0 {
		t.Errorf("status %#x of the dump's header, want %#x in it", flags, incomplete)
	}
	pages, missing, bad := 0, 0, 0
	dump.eachPage(func(_ int, _ []byte, err error) {
		switch {
		case err == errMissing:
			missing++
		case err != nil:
			bad++
		default:
			pages++
		}
	})
	t.Logf("%d pages, %d missing", pages, missing)
	if pages == 0 || missing == 0 || bad > 0 {
		t.Errorf("%d pages, %d missing, %d unreadable, want some, some, none", pages, missing, bad)
	}
}
