// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package capture

import (
	"time"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target/ssh"
)

// CheckServer is for the host, before it builds an image: it says, without
// connecting, which of the files that the target names would keep a run from using
// it.
func CheckServer(t config.Target) (err error) {
	switch t.Kind {
	case "ssh":
		o, err := sshOptions(t)
		if err != nil {
			return err
		}
		return ssh.Check(o)
	case "http":
		_, err = webOptions(t, time.Now())
	case "s3":
		_, err = bucketOptions(t, time.Now())
	}
	return err
}
