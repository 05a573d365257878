package auth_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/auth"
	"souk/pkg/secrets"
)

func TestConfigRejectsInvalidValues(t *testing.T) {
	t.Parallel()
	good := func() *auth.Config {
		c := auth.Default()
		c.Issuer, c.ClientID = "https://id.example.com", "souk"
		c.Key = secrets.Plain(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
		return &c
	}
	require.NoError(t, good().Validate())
	for _, issuer := range []string{
		"http://127.0.0.1:9000", "http://localhost:9000/x", "http://[::1]:9000", "https://id.example.com/realms/souk",
	} {
		c := good()
		c.Issuer = issuer
		require.NoError(t, c.Validate(), issuer)
	}
	for name, change := range map[string]func(*auth.Config){
		"issuer: must be":              func(c *auth.Config) { c.Issuer = "" },
		"issuer: must begin":           func(c *auth.Config) { c.Issuer = "http://id.example.com" },
		"plain http":                   func(c *auth.Config) { c.Issuer = "http://127.0.0.1.example.com" },
		"issuer: must be the":          func(c *auth.Config) { c.Issuer = "https://u:p@id.example.com" },
		"client_id":                    func(c *auth.Config) { c.ClientID = "" },
		"roles_claim":                  func(c *auth.Config) { c.RolesClaim = "" },
		"scopes":                       func(c *auth.Config) { c.Scopes = []string{"email"} },
		"session.absolute":             func(c *auth.Config) { c.Session.Absolute = 0 },
		"session.idle":                 func(c *auth.Config) { c.Session.Idle = time.Minute },
		"key: must be":                 func(c *auth.Config) { c.Key = secrets.Plain("c2hvcnQ=") },
		"bytes, e.g. of: openssl rand": func(c *auth.Config) { c.Key = secrets.Plain("not base64!") },
	} {
		c := good()
		change(c)
		require.ErrorContains(t, c.Validate(), name)
	}
	empty := auth.Default()
	for _, all := range []string{"issuer", "client_id", "key"} {
		require.ErrorContains(t, empty.Validate(), all)
	}
}
