package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/cart"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
)

func TestConfigReportsInvalidValues(t *testing.T) {
	t.Parallel()
	require.NoError(t, cart.Default().Validate())
	for path, change := range map[string]func(*cart.Config){
		"currency":   func(c *cart.Config) { c.Currency = "brl" },
		"offer_ttl":  func(c *cart.Config) { c.OfferTTL = 2 * time.Second },
		"write_back": func(c *cart.Config) { c.WriteBack = time.Minute },
		"guest_ttl":  func(c *cart.Config) { c.GuestTTL = 0 },
	} {
		c := cart.Default()
		change(&c)
		require.ErrorContains(t, c.Validate(), path)
	}
}

func TestMigrationsUpAndDown(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	for range 2 {
		require.NoError(t, migration.Up(t.Context(), url, "cart", cart.Module.Migrations))
		require.NoError(t, migration.Down(t.Context(), url, "cart", cart.Module.Migrations))
	}
}
