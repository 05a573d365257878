package shop

import (
	"errors"
	"time"
)

// Config is the section "shop" of the configuration.
type Config struct {
	// MaxPerUser is the most shops that a user is a member of. Default 20; at least 1. Shops that operators create do
	// not count until a user accepts an invitation to them.
	MaxPerUser int `yaml:"max_per_user"`
	// MaxMembers is the most members and open invitations of a shop. Default 50; at least 1.
	MaxMembers int `yaml:"max_members"`
	// InvitationTTL is how long an invitation to become a member stays open. Default 168h; from 1h to 720h.
	InvitationTTL time.Duration `yaml:"invitation_ttl"`
}

// Default returns the default configuration.
func Default() Config {
	return Config{MaxPerUser: 20, MaxMembers: 50, InvitationTTL: 7 * 24 * time.Hour}
}

// Validate returns all problems of the configuration, joined.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, text string) {
		if !ok {
			problems = append(problems, errors.New(text))
		}
	}
	check(c.MaxPerUser >= 1, "max_per_user: must be at least 1")
	check(c.MaxMembers >= 1, "max_members: must be at least 1")
	check(c.InvitationTTL >= time.Hour && c.InvitationTTL <= 30*24*time.Hour, "invitation_ttl: must be from 1h to 720h")
	return errors.Join(problems...)
}
