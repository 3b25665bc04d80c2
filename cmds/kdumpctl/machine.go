// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ukdump/ukdump/pkg/config"
)

// nameMachine sets what the machine is called, unless the configuration does.
func nameMachine(cfg *config.Config) error {
	if cfg.Machine != "" {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text := "machine " + defaultMachine(host, string(id))
	named, err := config.Parse(config.Path, text, config.Checks{})
	if err != nil {
		return fmt.Errorf("naming this machine after its host name: %w; set machine in %s", err, config.Path)
	}
	cfg.Machine = named.Machine
	return nil
}

// defaultMachine makes a name of the host's and of its machine-id(5): host names
// are what people know, but "localhost" is not the only one that is there twice.
func defaultMachine(host, id string) string {
	const digits, maxHost = 8, 50
	host, _, _ = strings.Cut(host, ".")
	id = strings.TrimSpace(id)
	name := host[:min(len(host), maxHost)]
	if len(id) >= digits {
		name += "-" + id[:digits]
	}
	return name
}
