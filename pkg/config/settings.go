// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// setting is a key about targets whose value is a text.
type setting struct {
	key   string
	kinds []string // of the targets that it is about
	// file says that the value is the path of a file, which goes into the image,
	// and secret that nobody else may read that.
	file, secret bool
	value        func(*Target) *string
}

// settings returns the keys about targets whose values are texts.
func settings() []setting {
	ssh, s3 := []string{"ssh"}, []string{"s3"}
	web := []string{"http", "s3"}
	return []setting{
		{"sshkey", ssh, true, true, func(t *Target) *string { return &t.SSHKey }},
		{"ssh_known_hosts", ssh, true, false, func(t *Target) *string { return &t.KnownHosts }},
		{"tls_ca", web, true, false, func(t *Target) *string { return &t.TLSCA }},
		{"tls_pin", web, false, false, func(t *Target) *string { return &t.TLSPin }},
		{"tls_cert", web, true, false, func(t *Target) *string { return &t.TLSCert }},
		{"tls_key", web, true, true, func(t *Target) *string { return &t.TLSKey }},
		{"http_token", []string{"http"}, true, true, func(t *Target) *string { return &t.Token }},
		{"s3_region", s3, false, false, func(t *Target) *string { return &t.Region }},
		{"s3_credentials", s3, true, true, func(t *Target) *string { return &t.Credentials }},
	}
}

// settingKeys returns the keys of settings.
func settingKeys() []string {
	var keys []string
	for _, s := range settings() {
		keys = append(keys, s.key)
	}
	return keys
}

// takes reports whether the key is about targets of t's kind, or t of no kind yet.
func (t *Target) takes(key string) bool {
	return t.Kind == "" || slices.ContainsFunc(settings(), func(s setting) bool {
		return s.key == key && slices.Contains(s.kinds, t.Kind)
	})
}

// setSetting sets one of the settings of the target, or of all that follow.
func (t *Target) setSetting(key, value string, check func(name string, secret bool) error) error {
	i := slices.IndexFunc(settings(), func(s setting) bool { return s.key == key })
	s := settings()[i]
	if !t.takes(key) {
		return fmt.Errorf("it is not about %s, but about %s", t.Kind, strings.Join(s.kinds, ", "))
	}
	if s.file && (!path.IsAbs(value) || value != path.Clean(value)) {
		return fmt.Errorf("%.60q is not an absolute path", value)
	}
	if s.file && check != nil {
		if err := check(value, s.secret); err != nil {
			return err
		}
	}
	*s.value(t) = value
	return nil
}

// File is a file that the configuration refers to.
type File struct {
	Key    string  // that refers to it
	Path   *string // where it is; the image builder changes that
	Secret bool    // only its owner may be able to read it
}

// Files returns the files that the target needs in the image.
func (t *Target) Files() []File {
	var files []File
	for _, s := range settings() {
		if value := s.value(t); s.file && *value != "" && slices.Contains(s.kinds, t.Kind) {
			files = append(files, File{s.key, value, s.secret})
		}
	}
	return files
}
