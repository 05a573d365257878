package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"souk/apps/auth/internal/domain"
	"souk/pkg/secrets"
)

// Config is the auth service's configuration, section "auth".
type Config struct {
	// Issuer is the OpenID provider, e.g. https://id.example.com. Required. Plain http is accepted on
	// loopback only.
	Issuer string `yaml:"issuer"`
	// ClientID is souk's ID at the provider. Required.
	ClientID string `yaml:"client_id"`
	// ClientSecret authenticates souk to the provider. Default empty: a public client, protected by PKCE.
	ClientSecret secrets.Value `yaml:"client_secret"`
	// Audience is the required audience of access tokens: the API's name at the provider. Default empty: ClientID, which
	// access tokens of some providers have beside another audience. A token with no other audience than ClientID must
	// have the type at+jwt, as it could be an ID token.
	Audience string `yaml:"audience"`
	// RolesClaim names the claim with a user's roles (see package permission). Default "roles". Zitadel's
	// urn:zitadel:iam:org:project:roles is always read as well.
	RolesClaim string `yaml:"roles_claim"`
	// Scopes are requested at sign-in. Default openid, profile, email. openid is required.
	Scopes []string `yaml:"scopes"`
	// Session is how long browsers stay signed in.
	Session SessionConfig `yaml:"session"`
	// RecentSignIn is how long after a sign-in at the provider a user may do what needs a recent one, such as suspending
	// users. Default 10 min; from 1 min to 24 h; 0: for ever.
	RecentSignIn time.Duration `yaml:"recent_sign_in"`
	// Lockout makes those wait who fail to sign in, or send wrong tokens.
	Lockout LockoutConfig `yaml:"lockout"`
	// Key (base64, at least 32 random bytes) is the secret from which the keys of login cookies and guest
	// tokens are derived. All processes of the service share it. Required. A change invalidates all guest
	// tokens, and existing guests lose their carts.
	Key secrets.Value `yaml:"key"`
}

// SessionConfig configures how long browsers stay signed in.
type SessionConfig struct {
	// Absolute is the lifetime from sign-in on, used or not. Default 30 days; 0 is refused.
	Absolute time.Duration `yaml:"absolute"`
	// Idle is the lifetime without a request. Default 7 days; less than 2 min is refused, because uses are
	// recorded once a minute.
	Idle time.Duration `yaml:"idle"`
	// Operator is Absolute for people with a role of the marketplace: support, operator, auditor, admin. Default
	// 12 h; 0 is refused. A session keeps the roles of its sign-in, so this is how long a former operator may keep
	// the role.
	Operator time.Duration `yaml:"operator"`
	// MaxPerUser is the largest number of sessions of a user; a further one ends the first to end. Default 100; from 1 to
	// 1000.
	MaxPerUser int `yaml:"max_per_user"`
}

// LockoutConfig configures the waits after failures.
type LockoutConfig struct {
	// After is how many failures of an address (with IPv6, each /64) or account within an hour make nobody wait. The next
	// one makes the following attempt wait for 1 s, and each further one twice as long. Default 10; at most 1000; 0:
	// nobody waits.
	After int `yaml:"after"`
	// Longest is the longest wait. Default 15 min; from 1 s to 1 h.
	Longest time.Duration `yaml:"longest"`
}

const minKey = 32

// Default returns the default configuration.
func Default() Config {
	return Config{
		RolesClaim:   "roles",
		Scopes:       []string{"openid", "profile", "email"},
		RecentSignIn: 10 * time.Minute,
		Lockout:      LockoutConfig{After: 10, Longest: 15 * time.Minute},
		Session: SessionConfig{
			Absolute:   30 * 24 * time.Hour,
			Idle:       7 * 24 * time.Hour,
			Operator:   12 * time.Hour,
			MaxPerUser: 100,
		},
	}
}

// Validate returns all problems of the configuration, joined.
func (c *Config) Validate() error {
	var problems []error
	if err := checkIssuer(c.Issuer); err != nil {
		problems = append(problems, err)
	}
	if c.ClientID == "" {
		problems = append(problems, errors.New("client_id: must be set, as the provider has it"))
	}
	if c.RolesClaim == "" {
		problems = append(problems, errors.New("roles_claim: must be set, e.g. roles"))
	}
	if !slices.Contains(c.Scopes, "openid") {
		problems = append(problems, errors.New("scopes: must contain openid"))
	}
	if c.Session.Absolute <= 0 || c.Session.Operator <= 0 {
		problems = append(problems, errors.New("session.absolute, session.operator: must be more than zero"))
	}
	if r := c.RecentSignIn; r != 0 && (r < time.Minute || r > 24*time.Hour) {
		problems = append(problems, errors.New("recent_sign_in: must be from 1m to 24h, or 0 for no bound"))
	}
	if l := c.Lockout; l.After < 0 || l.After > 1000 || l.Longest < time.Second || l.Longest > time.Hour {
		problems = append(problems, errors.New("lockout: after must be from 0 to 1000, longest from 1s to 1h"))
	}
	if c.Session.MaxPerUser < 1 || c.Session.MaxPerUser > 1000 {
		problems = append(problems, errors.New("session.max_per_user: must be from 1 to 1000"))
	}
	if c.Session.Idle < 2*domain.TouchEvery {
		problems = append(problems, fmt.Errorf("session.idle: must be at least %s", 2*domain.TouchEvery))
	}
	if len(c.key()) < minKey {
		problems = append(
			problems,
			fmt.Errorf("key: must be the base64 of at least %d random bytes, e.g. of: openssl rand -base64 32", minKey),
		)
	}
	return errors.Join(problems...)
}

func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("issuer: must be the provider's URL, e.g. https://id.example.com")
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return errors.New("issuer: must begin with https://; plain http is for 127.0.0.1, ::1 and localhost alone")
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (c *Config) key() []byte {
	key, err := base64.StdEncoding.DecodeString(c.Key.Get())
	if err != nil {
		return nil
	}
	return key
}

func (c *Config) audience() string {
	if c.Audience != "" {
		return c.Audience
	}
	return c.ClientID
}

func (c *Config) lifetimes() domain.Lifetimes {
	return domain.Lifetimes{Absolute: c.Session.Absolute, Idle: c.Session.Idle, Operator: c.Session.Operator}
}
