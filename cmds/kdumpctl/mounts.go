// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type mount struct {
	dev    string // major:minor; major 0 for what is on no disk, and for btrfs
	root   string // the directory of the file system that is mounted
	point  string // where
	fsType string
	source string // often a device
}

// parseMounts reads the text of /proc/self/mountinfo, for example
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// Lines that are not like that are left out.
func parseMounts(mountinfo string) []mount {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		// Optional fields end with "-".
		head, tail, ok := strings.Cut(line, " - ")
		before, after := strings.Fields(head), strings.Fields(tail)
		if !ok || len(before) < 6 || len(after) < 2 {
			continue
		}
		mounts = append(mounts, mount{
			dev: before[2], root: unescape(before[3]), point: unescape(before[4]), fsType: after[0], source: unescape(after[1]),
		})
	}
	return mounts
}

// device returns the node of the block device that is mounted.
func (m mount) device() (string, error) {
	if !strings.HasPrefix(m.dev, "0:") {
		// Not the source, which is /dev/root where the kernel mounted it.
		link, err := os.Readlink("/sys/dev/block/" + m.dev)
		return "/dev/" + strings.ReplaceAll(filepath.Base(link), "!", "/"), err
	}
	if !filepath.IsAbs(m.source) {
		return "", fmt.Errorf("%s is %s, which is on no disk of this machine", m.point, m.fsType)
	}
	return filepath.EvalSymlinks(m.source)
}

// unescape undoes the kernel's \ooo for spaces, tabs, line breaks and
// backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountOf returns the mount that holds an absolute path: the one with the
// longest point, and of several there the last, which covers the others.
func mountOf(mounts []mount, path string) (mount, bool) {
	var best mount
	found := false
	for _, m := range mounts {
		holds := path == m.point || strings.HasPrefix(path, strings.TrimSuffix(m.point, "/")+"/")
		if holds && len(m.point) >= len(best.point) {
			best, found = m, true
		}
	}
	return best, found
}
