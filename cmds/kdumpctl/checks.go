// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/fence"
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
