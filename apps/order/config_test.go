package order

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/setting"
)

func TestSystemSettingsHaveTheDefaultsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	require.NoError(t, Default().Validate())
	configured, err := Default().settings()
	require.NoError(t, err)
	for _, d := range setting.All() {
		if d.Owner() == "order" {
			require.Equal(t, d.Default, configured[d.Key], d.Key)
		}
	}
	require.Equal(t, limits(setting.Values{}), limits(configured))
}

func TestConfigurationIsBoundedAsTheSystemSettingsAre(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*Config){
		"max_unpaid":          func(c *Config) { c.MaxUnpaid = -1 },
		"expire_unpaid_after": func(c *Config) { c.ExpireUnpaidAfter = -time.Second },
		"cash.max_pieces":     func(c *Config) { c.Cash.MaxPieces = -1 },
		"cash.max_total.BRL":  func(c *Config) { c.Cash.MaxTotal = map[string]string{"BRL": "-1.00"} },
		"cancels.free":        func(c *Config) { c.Cancels.Free = -1 },
		"cancels.wait":        func(c *Config) { c.Cancels.Wait = -time.Second },
	} {
		c := Default()
		change(&c)
		require.ErrorContains(t, c.Validate(), key+": must ")
	}
}
