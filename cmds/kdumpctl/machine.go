// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"os"
	"strings"

	"github.com/ukdump/ukdump/pkg/config"
)

// nameMachine sets what the machine is called, unless the configuration does.
func nameMachine(cfg *config.Config) {
	if cfg.Machine != "" {
		return
	}
	host, _ := os.Hostname()
	id, _ := os.ReadFile("/etc/machine-id") // not every machine has one
	cfg.Machine = defaultMachine(host, string(id))
}

// defaultMachine makes a name of the host's and of its machine-id(5): host names
// are what people know, but "localhost" is not the only one that is there twice.
func defaultMachine(host, id string) string {
	const digits, maxHost = 8, 50
	host, _, _ = strings.Cut(host, ".")
	name := strings.Trim(strings.Map(nameOnly, host), "-")
	if name == "" {
		name = "localhost"
	}
	name = name[:min(len(name), maxHost)]
	if id = strings.TrimSpace(id); len(id) >= digits {
		name += "-" + strings.Map(nameOnly, id[:digits])
	}
	return name
}

// nameOnly replaces what cannot be in a machine's name.
func nameOnly(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
		return r
	}
	return '-'
}
