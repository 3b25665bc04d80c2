// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package s3

import (
	"strings"
	"testing"
)

func TestSetCredentials(t *testing.T) {
	const pair = "aws_access_key_id = AKIA\naws_secret_access_key=se/cr=et\n"
	for _, test := range []struct {
		name, text          string
		key, secret, sesson string
	}{
		{"plain", pair, "AKIA", "se/cr=et", ""},
		{"default", "# mine\n[other]\naws_access_key_id=x\naws_secret_access_key=y\n[default]\n" + pair + "aws_session_token = t\n", "AKIA", "se/cr=et", "t"},
		{"another after it", "[default]\n" + pair + "[other]\naws_access_key_id=x\naws_secret_access_key=y\n", "AKIA", "se/cr=et", ""},
		{"only", "[crash]\r\n" + strings.ReplaceAll(pair, "\n", "\r\n"), "AKIA", "se/cr=et", ""},
	} {
		var o Options
		err := o.SetCredentials([]byte(test.text))
		if err != nil || o.AccessKey != test.key || o.SecretKey != test.secret || o.SessionToken != test.sesson {
			t.Errorf("%s: %+v, %v", test.name, o, err)
		}
	}
	for _, text := range []string{"", "aws_access_key_id=x", "[default]\n[x]\naws_secret_access_key = s3cret", "\x00\xff="} {
		var o Options
		if err := o.SetCredentials([]byte(text)); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("SetCredentials(%q) = %v, %+v, want an error that gives nothing away", text, err, o)
		}
	}
}

func FuzzSetCredentials(f *testing.F) {
	f.Add("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
	f.Fuzz(func(t *testing.T, text string) {
		var o Options
		if err := o.SetCredentials([]byte(text)); (err == nil) != (o.AccessKey != "" && o.SecretKey != "") {
			t.Errorf("SetCredentials(%q) = %v, %+v", text, err, o)
		}
	})
}
