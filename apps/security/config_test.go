package security

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/security/internal/domain"
	"souk/pkg/setting"
)

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*Config){
		"retain":       func(c *Config) { c.Retain = time.Hour },
		"detect_every": func(c *Config) { c.DetectEvery = 0 },
	} {
		c := Default()
		require.NoError(t, c.Validate())
		change(&c)
		require.ErrorContains(t, c.Validate(), field)
	}
}

// The rates in docs/security.md are measured with these.
func TestThresholdsAreTheSettings(t *testing.T) {
	t.Parallel()
	require.Equal(t, domain.Thresholds{
		Burst: map[domain.Kind]int64{
			domain.APIKeyMisuse: 20, domain.Cancellations: 10, domain.CardTesting: 10, domain.CashOnDelivery: 10,
			domain.FailedSignIns: 50, domain.FirewallRefusals: 20, domain.RateLimits: 500,
			domain.RefusedPermissions: 30, domain.StockHolding: 100, domain.VoucherGuesses: 30,
			domain.WebhookForgeries: 5,
		},
		SpikeFactor: 3, SpikeLeast: 40, TravelWithin: time.Hour, Near: []string{},
	}, thresholds(setting.Values{}))
	v := setting.Values{}
	setting.SecurityVoucherGuesses.Put(v, 7)
	require.EqualValues(t, 7, thresholds(v).Burst[domain.VoucherGuesses])
}
