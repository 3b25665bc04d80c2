// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"fmt"

	"github.com/ukdump/ukdump/pkg/capture"
	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/fence"
	"github.com/ukdump/ukdump/pkg/image/programs"
	"github.com/ukdump/ukdump/pkg/netconf"
	"github.com/ukdump/ukdump/pkg/target/encrypt"
	"github.com/ukdump/ukdump/pkg/target/http"
	"github.com/ukdump/ukdump/pkg/target/nfs"
	"github.com/ukdump/ukdump/pkg/target/s3"
	"github.com/ukdump/ukdump/pkg/target/ssh"
)

// checks returns what package config leaves to others: a configuration that the
// capture kernel could not use is to be refused now.
func checks() config.Checks {
	return config.Checks{
		Collector: func(args []string) error {
			_, err := collector.ParseArgs(args)
			return err
		},
		Target: checkAddress,
		Network: func(value string) error {
			_, err := netconf.ParseDirective(value)
			return err
		},
		Fence: func(args []string) error {
			_, err := fence.ParseOptions(args)
			return err
		},
		Recipient: func(key string) error {
			_, err := encrypt.ParseRecipients([]string{key})
			return err
		},
	}
}

// buildChecks returns these and checks of what goes into the image.
func buildChecks() config.Checks {
	c := checks()
	c.File = func(name string, secret bool) error {
		_, err := readSmall(name, secret)
		return err
	}
	set := programs.NewSet()
	c.Program = func(name string) error { return addExtra(set, name) }
	return c
}

// checkServers looks into the files by which servers know us and we know them, as
// the capture run will.
func (o *buildOptions) checkServers(cfg *config.Config) error {
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if err := completeFiles(t); err != nil {
			return err
		}
		if err := capture.CheckServer(*t); err != nil {
			return fmt.Errorf("%s: %v: %w", o.config, t, err)
		}
	}
	return nil
}

func checkAddress(kind, address string) (err error) {
	switch kind {
	case "nfs":
		_, _, err = nfs.Parse(address)
	case "http":
		_, err = http.Parse(address)
	case "ssh":
		_, err = ssh.Parse(address)
	case "s3":
		_, err = s3.Parse(address)
	}
	return err
}
