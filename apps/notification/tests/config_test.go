package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/notification"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
)

func TestConfigRejectsInvalidValues(t *testing.T) {
	t.Parallel()
	good := notification.Default()
	good.SMTPAddr = "mail.example.com:587"
	require.NoError(t, good.Validate())
	for path, change := range map[string]func(*notification.Config){
		"smtp_addr":   func(c *notification.Config) { c.SMTPAddr = "" },
		"tls":         func(c *notification.Config) { c.TLS = "maybe" },
		"username":    func(c *notification.Config) { c.Username = "souk" },
		"from":        func(c *notification.Config) { c.From = "not an address" },
		"public_url":  func(c *notification.Config) { c.PublicURL = "souk.example" },
		"timeout":     func(c *notification.Config) { c.Timeout = time.Hour },
		"concurrency": func(c *notification.Config) { c.Concurrency = 0 },
		"give_up":     func(c *notification.Config) { c.GiveUp = 0 },
		"hold":        func(c *notification.Config) { c.Hold = -1 },
		"max_per":     func(c *notification.Config) { c.MaxPerHour = 0 },
	} {
		c := good
		change(&c)
		require.ErrorContains(t, c.Validate(), path)
	}
}

func TestMigrationsCanBeRepeated(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	for range 2 {
		require.NoError(t, migration.Up(t.Context(), url, "notification", notification.Module.Migrations))
		require.NoError(t, migration.Down(t.Context(), url, "notification", notification.Module.Migrations))
	}
}
