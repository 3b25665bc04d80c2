// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/blockdev"
	"github.com/ukdump/ukdump/pkg/config"
)

// mountinfo is like that of a machine with a btrfs subvolume, a bind mount, a
// mount that covers another and names that need escapes.
const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw
24 22 0:22 /@home /home rw shared:3 - btrfs /dev/sdb1 rw,subvol=/@home
25 22 8:17 / /srv rw - xfs /dev/sdb2 rw
26 22 8:18 /exports/a\040b /srv/my\040data rw - vfat /dev/sdb3 rw
27 22 0:30 / /srv rw - nfs4 server:/srv rw
28 22 0:31 / /run rw shared:5 master:2 propagate_from:1 - tmpfs tmpfs rw
29 22 0:32 / /data rw - btrfs /dev/sdc1 rw,subvol=/
this is no line
`

func TestMountOf(t *testing.T) {
	mounts := parseMounts(mountinfo)
	if len(mounts) != 8 {
		t.Fatalf("parseMounts found %d mounts, want 8: %+v", len(mounts), mounts)
	}
	for path, want := range map[string]mount{
		"/":                   {"8:1", "/", "/", "ext4", "/dev/root"},
		"/var/crash":          {"8:1", "/", "/", "ext4", "/dev/root"},
		"/homeless":           {"8:1", "/", "/", "ext4", "/dev/root"},
		"/home/x":             {"0:22", "/@home", "/home", "btrfs", "/dev/sdb1"},
		"/srv":                {"0:30", "/", "/srv", "nfs4", "server:/srv"},
		"/srv/my data/crash":  {"8:18", "/exports/a b", "/srv/my data", "vfat", "/dev/sdb3"},
		"/srv/my data2/crash": {"0:30", "/", "/srv", "nfs4", "server:/srv"},
	} {
		if got, ok := mountOf(mounts, path); !ok || got != want {
			t.Errorf("mountOf(%q) = %+v, %v, want %+v", path, got, ok, want)
		}
	}
	if got, ok := mountOf(mounts[1:], "/var"); ok {
		t.Errorf("mountOf without a root = %+v, want none", got)
	}
}

func TestTargetOfDirErrors(t *testing.T) {
	mounts := parseMounts(mountinfo)
	for dir, want := range map[string]string{
		"/run/crash":  "/run is tmpfs, which is on no disk of this machine",
		"/srv/crash":  "/srv is nfs4, which is on no disk of this machine",
		"/home/crash": "it is in the btrfs subvolume /@home",
	} {
		if got, err := targetOfDir(config.Target{Dir: dir}, mounts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("targetOfDir(%s) = %+v, %v, want an error with %q", dir, got, err, want)
		}
	}
}

func TestResolveDir(t *testing.T) {
	tmp, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(tmp, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(tmp, "link")); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(tmp, "real/not/yet")
	if got, err := resolveDir(filepath.Join(tmp, "link/not/yet")); err != nil || got != want {
		t.Errorf("resolveDir = %q, %v, want %q", got, err, want)
	}
}

func TestCheckTarget(t *testing.T) {
	found := func(name, fsType string) blockdev.Found {
		return blockdev.Found{
			Device:     blockdev.Device{Name: name, Path: "/dev/" + name},
			Superblock: blockdev.Superblock{Type: fsType},
		}
	}
	for _, tt := range []struct {
		fsType string
		found  blockdev.Found
		want   string // in the error; "" for none
	}{
		{"ext4", found("vda1", "ext4"), ""},
		{"ext4", found("nvme0n1p2", "ext3"), ""},
		{"vfat", found("mmcblk0p1", "vfat"), ""},
		{"ext4", found("vda1", "xfs"), "/dev/vda1: holds xfs, not ext4 as the configuration says"},
		{"xfs", found("vda1", ""), "/dev/vda1: no file system of a known type"},
		{"raw", found("vda1", "raw"), ""},
		{"raw", found("vda1", ""), "kdumpctl format-raw /dev/vda1"},
		{"raw", found("vda1", "xfs"), "holds xfs, not raw"},
		{"ext4", found("vda1", "raw"), "holds raw, not ext4"},
		{"ext4", found("dm-3", "ext4"), "/dev/dm-3 is assembled by user space"},
		{"ext4", found("md127", "ext4"), "/dev/md127 is assembled by user space"},
		{"ext4", found("loop0", "ext4"), "/dev/loop0 is assembled by user space"},
	} {
		err := checkTarget(tt.fsType, tt.found)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("checkTarget(%s, %+v) = %v, want %q", tt.fsType, tt.found, err, tt.want)
		}
	}
}

// TestHostTargets finds the file system that holds the root directory of the
// machine that runs the test, and compares with findmnt and blkid.
func TestHostTargets(t *testing.T) {
	findmnt, err := exec.Command("findmnt", "-n", "-r", "-o", "MAJ:MIN,FSTYPE", "--target", "/").Output()
	if err != nil {
		t.Skipf("findmnt: %v", err)
	}
	dev, fsType, _ := strings.Cut(strings.TrimSpace(string(findmnt)), " ")
	link, err := os.Readlink("/sys/dev/block/" + dev)
	if err != nil {
		t.Skipf("the root directory is on %s, which is no disk", fsType)
	}
	node := "/dev/" + filepath.Base(link)
	uuid, err := exec.Command("blkid", "-p", "-s", "UUID", "-o", "value", node).Output()
	if err != nil {
		t.Skipf("blkid %s: %v", node, err)
	}

	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Common.Dir = "/ukdump-test/crash"
	devices, err := hostTargets(cfg, parseMounts(string(mountinfo)))
	if err != nil && strings.Contains(err.Error(), "assembled by user space") {
		t.Skip(err)
	}
	want := []config.Target{{Kind: fsType, Address: "UUID=" + strings.TrimSpace(string(uuid)), Dir: "/ukdump-test/crash"}}
	if err != nil || !slices.Equal(devices, []string{node}) || !reflect.DeepEqual(cfg.Targets, want) {
		t.Errorf("hostTargets = %q, %v with %+v, want %q with %+v", devices, err, cfg, node, want)
	}

	// The root file system, too, where another one is the target.
	cfg = config.Default()
	cfg.FailureAction, cfg.FinalAction = config.DumpToRootfs, config.PowerOff
	cfg.Targets = []config.Target{{Kind: "nfs", Address: "a:/b", Dir: "/ukdump-test/crash"}}
	want = append(slices.Clone(cfg.Targets), want...)
	for range 2 { // it is not added where it is already
		devices, err = hostTargets(cfg, parseMounts(string(mountinfo)))
		if err != nil || devices[0] != node || !reflect.DeepEqual(cfg.Targets, want) || cfg.FailureAction != config.PowerOff {
			t.Errorf("hostTargets = %q, %v with %+v, want %q with %+v", devices, err, cfg, node, want)
		}
		cfg.FailureAction = config.DumpToRootfs
	}
}

func TestDumpToRootfsErrors(t *testing.T) {
	cfg := config.Default()
	cfg.FailureAction = config.DumpToRootfs
	cfg.Targets = []config.Target{{Kind: "nfs", Address: "a:/b", Dir: "/crash"}}
	want := "failure_action: dump_to_rootfs: / is tmpfs, which is on no disk of this machine"
	if devices, err := hostTargets(cfg, parseMounts("22 1 0:2 / / rw - tmpfs tmpfs rw\n")); err == nil || err.Error() != want {
		t.Errorf("hostTargets = %q, %v, want the error %q", devices, err, want)
	}
}
