// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target/encrypt"
	"github.com/ukdump/ukdump/pkg/target/nfs"
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
	}
	return err
}
