// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package s3

import (
	"errors"
	"strings"
)

// SetCredentials takes the credentials from a file in the format of
// ~/.aws/credentials: those of the profile "default", or of the only one. Nothing
// of it is in an error.
func (o *Options) SetCredentials(text []byte) error {
	var found Options
	take := true // lines before the first profile count, too
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			take = line == "[default]" || found.AccessKey == ""
			if take {
				found = Options{}
			}
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch key = strings.TrimSpace(key); {
		case !take:
		case key == "aws_access_key_id":
			found.AccessKey = value
		case key == "aws_secret_access_key":
			found.SecretKey = value
		case key == "aws_session_token":
			found.SessionToken = value
		}
	}
	if found.AccessKey == "" || found.SecretKey == "" {
		return errors.New("no aws_access_key_id and aws_secret_access_key in it")
	}
	o.AccessKey, o.SecretKey, o.SessionToken = found.AccessKey, found.SecretKey, found.SessionToken
	return nil
}
