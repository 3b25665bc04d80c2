// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

// hookDir has a directory for each hook, as in kdump-utils. All programs in it run
// beside the one that kdump.conf names.
const hookDir = "/etc/kdump/"

// Hook is a moment of the run at which programs run.
type Hook struct {
	Key     string // that names the program
	Program string // its path; "" for none
	Dir     string // with further programs, which need not be there
	// DirFirst says that the programs in Dir come before the other one.
	DirFirst bool
}

// PreHook comes before the first target, and only its Program may say that nothing
// is to be saved.
func (c *Config) PreHook() Hook { return Hook{"kdump_pre", c.Pre, hookDir + "pre.d", false} }

// PostHook comes after the last target.
func (c *Config) PostHook() Hook { return Hook{"kdump_post", c.Post, hookDir + "post.d", true} }

// EmergencyHook comes after that where no dump was saved.
func (c *Config) EmergencyHook() Hook {
	return Hook{"kdump_emergency", c.Emergency, hookDir + "emergency.d", true}
}
