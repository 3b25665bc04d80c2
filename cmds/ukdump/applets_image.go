// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build image

package main

// applets is what a capture kernel needs. TestImageLinksNothingHeavy guards
// what these packages draw in.
var applets = []applet{}
