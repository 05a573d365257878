package shop

import (
	"time"

	"souk/apps/shop/internal/shop"
	"souk/pkg/setting"
)

// Config is the section "shop" of the configuration. Its fields are the defaults of system settings.
type Config struct {
	// MaxPerUser is the most shops that a user is a member of. Default 20; from 1 to 1000000. Shops that operators
	// create do not count until a user accepts an invitation to them.
	MaxPerUser int `yaml:"max_per_user"`
	// MaxMembers is the most members and open invitations of a shop. Default 50; from 1 to
	// 1000000.
	MaxMembers int `yaml:"max_members"`
	// MaxAPIKeys is the most API keys of a shop. Default 20; from 1 to 1000.
	MaxAPIKeys int `yaml:"max_api_keys"`
	// InvitationTTL is how long an invitation to become a member stays open. Default 168h; from 1h to 720h.
	InvitationTTL time.Duration `yaml:"invitation_ttl"`
}

// Default returns the default configuration.
func Default() Config {
	return Config{MaxPerUser: 20, MaxMembers: 50, MaxAPIKeys: 20, InvitationTTL: 7 * 24 * time.Hour}
}

// Validate returns all problems of the configuration, joined.
func (c Config) Validate() error { return c.settings().Check() }

// settings returns the system settings that the configuration has. They apply until an operator sets others.
func (c Config) settings() setting.Values {
	v := setting.Values{}
	setting.ShopMaxPerUser.Put(v, int64(c.MaxPerUser))
	setting.ShopMaxMembers.Put(v, int64(c.MaxMembers))
	setting.ShopMaxAPIKeys.Put(v, int64(c.MaxAPIKeys))
	setting.ShopInvitationTTL.Put(v, c.InvitationTTL)
	return v
}

// limits returns the limits that the system settings set.
func limits(v setting.Values) shop.Limits {
	return shop.Limits{
		ShopsPerUser:  int(setting.ShopMaxPerUser.Of(v)),
		Members:       int(setting.ShopMaxMembers.Of(v)),
		Keys:          int(setting.ShopMaxAPIKeys.Of(v)),
		InvitationTTL: setting.ShopInvitationTTL.Of(v),
	}
}
