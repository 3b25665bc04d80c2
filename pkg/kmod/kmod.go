// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kmod chooses and loads kernel modules, in two places.
//
// On the host, where the image is built, a Tree reads the indexes that
// depmod(8) left in /lib/modules/RELEASE. ForDevice and ForFilesystem say what
// a dump target needs and Closure adds what those modules need themselves, in
// the order in which they can be loaded. The builder copies the files into the
// image, uncompressed (package unpack), and writes a List next to them.
//
// In the image, Load reads nothing but that List: no index, no alias, no
// decompression. The kernel is handed each file as it lies in the root file
// system, with finit_module(2), and independent modules load side by side.
package kmod

import (
	"path"
	"strings"
)

// Normalize returns the name by which the kernel and depmod know a module:
// without directories, without ".ko" and the suffix of a compression, and with
// "_" for every "-".
func Normalize(file string) string {
	name := path.Base(file)
	for _, compression := range [...]string{".xz", ".zst", ".gz"} {
		name = strings.TrimSuffix(name, compression)
	}
	name = strings.TrimSuffix(name, ".ko")
	return strings.ReplaceAll(name, "-", "_")
}
