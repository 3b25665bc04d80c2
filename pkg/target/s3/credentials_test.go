// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package s3

import (
	"os"
	"os/exec"
	"path/filepath"
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

// TestCredentialsOfAWS reads what the program writes whose format it is.
func TestCredentialsOfAWS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	for key, value := range map[string]string{"aws_access_key_id": "AKIA", "aws_secret_access_key": "a/b+c=", "aws_session_token": "t=="} {
		cmd := exec.Command("aws", "configure", "set", key, value)
		cmd.Env = append(os.Environ(), "AWS_SHARED_CREDENTIALS_FILE="+file, "AWS_CONFIG_FILE="+file+".config")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("aws: %v\n%s", err, out)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	if err := o.SetCredentials(text); o.AccessKey != "AKIA" || o.SecretKey != "a/b+c=" || o.SessionToken != "t==" || err != nil {
		t.Errorf("%q %q %q, %v, from\n%s", o.AccessKey, o.SecretKey, o.SessionToken, err, text)
	}
}
