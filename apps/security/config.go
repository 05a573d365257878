package security

import (
	"errors"
	"time"

	"souk/apps/security/internal/domain"
	"souk/pkg/setting"
)

// Config is the security service's configuration, section "security". The thresholds of the detectors are system
// settings only.
type Config struct {
	// Retain is how long security events are kept after they were found last. Default 2160h, 90 days; 0: for ever;
	// otherwise at least 24h.
	Retain time.Duration `yaml:"retain"`
	// DetectEvery is the time between two passes of the detectors. Default 10 s; at least 1 s.
	DetectEvery time.Duration `yaml:"detect_every"`
}

// Default returns the default configuration.
func Default() Config { return Config{Retain: 90 * 24 * time.Hour, DetectEvery: 10 * time.Second} }

// Validate checks the configuration.
func (c Config) Validate() error {
	var problems []error
	if c.Retain != 0 && c.Retain < 24*time.Hour {
		problems = append(problems, errors.New("retain: must be at least 24h, or 0"))
	}
	if c.DetectEvery < time.Second {
		problems = append(problems, errors.New("detect_every: must be at least 1s"))
	}
	return errors.Join(problems...)
}

// thresholds returns the thresholds that the system settings say.
func thresholds(v setting.Values) domain.Thresholds {
	t := domain.Thresholds{
		Burst:        map[domain.Kind]int64{},
		SpikeFactor:  setting.SecuritySpikeFactor.Of(v),
		SpikeLeast:   setting.SecuritySpikeLeast.Of(v),
		TravelWithin: setting.SecurityTravelWithin.Of(v),
		Near:         setting.SecurityTravelNear.Of(v),
	}
	for kind, s := range map[domain.Kind]setting.Setting[int64]{
		domain.APIKeyMisuse:       setting.SecurityAPIKeyMisuse,
		domain.Cancellations:      setting.SecurityCancellations,
		domain.CardTesting:        setting.SecurityCardTesting,
		domain.CashOnDelivery:     setting.SecurityCashOnDelivery,
		domain.FailedSignIns:      setting.SecurityFailedSignIns,
		domain.FirewallRefusals:   setting.SecurityFirewallRefusals,
		domain.RateLimits:         setting.SecurityRateLimits,
		domain.RefusedPermissions: setting.SecurityRefusedPermissions,
		domain.StockHolding:       setting.SecurityStockHolding,
		domain.VoucherGuesses:     setting.SecurityVoucherGuesses,
		domain.WebhookForgeries:   setting.SecurityWebhookForgeries,
	} {
		t.Burst[kind] = s.Of(v)
	}
	return t
}
