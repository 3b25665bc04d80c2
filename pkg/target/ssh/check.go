// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package ssh

import "fmt"

// Check says, without connecting, why a connection could not be made: that the
// private key is of no use, or that nothing is known of the host.
func Check(o Options) error {
	if _, err := parseKey(o.Key); err != nil {
		return err
	}
	h, err := readHosts(o.KnownHosts)
	if err != nil {
		return err
	}
	if len(h.algorithms(o.address())) == 0 {
		return fmt.Errorf("%s has no key of the host %s (kdumpctl propagate takes it over)", o.KnownHosts, o.address())
	}
	return nil
}
