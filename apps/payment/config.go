package payment

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"souk/pkg/secrets"
)

// Config is the payment service's configuration, section "payment".
type Config struct {
	// Provider is the name of the payment provider. There is no default: a process that could take orders without
	// money must be asked for by name.
	Provider string `yaml:"provider"`
	// ProviderTimeout bounds one call to the payment provider. Default 5 s; 0 is refused.
	ProviderTimeout time.Duration `yaml:"provider_timeout"`
	// ForgetRefusedAfter is how long payments are kept that failed or were voided, and tombstones. Default 720h; 0
	// keeps them for ever; otherwise at least 168h, because a saga is kept that long and may ask about its payment.
	ForgetRefusedAfter time.Duration `yaml:"forget_refused_after"`
	// Reconcile configures the reconciliation of payments with an open outcome.
	Reconcile ReconcileConfig `yaml:"reconcile"`
	// Sandbox configures the provider sandbox. Another provider does not use it.
	Sandbox SandboxConfig `yaml:"sandbox"`
}

// ReconcileConfig configures the reconciliation of payments with an open outcome: an answer was lost or a
// process died.
type ReconcileConfig struct {
	// Every is the interval between two passes. Default 5 s; 0 is refused.
	Every time.Duration `yaml:"every"`
	// OpenFor is how long an outcome stays open before the provider is asked. Default 30 s; 0 asks at once.
	OpenFor time.Duration `yaml:"open_for"`
	// GiveUp is the age at which a payment that is unknown to the provider is voided. Default 15 min; 0 is
	// refused.
	GiveUp time.Duration `yaml:"give_up"`
}

// SandboxConfig configures the embedded provider of development and tests. It opens if Provider is "sandbox".
type SandboxConfig struct {
	// LostAfter is how long a call with a lost answer takes to fail. Default 1 s; 0 fails at once.
	LostAfter time.Duration `yaml:"lost_after"`
	// SlowFor is the delay of a slow answer. Default 3 s; 0 is no delay.
	SlowFor time.Duration `yaml:"slow_for"`
	// WebhookSecret signs webhooks, 16 bytes or more. Default empty: no webhook is accepted.
	WebhookSecret secrets.Value `yaml:"webhook_secret"`
	// FormerWebhookSecret is the secret before the last change. Webhooks that are signed with it are accepted. Default
	// empty: none.
	FormerWebhookSecret secrets.Value `yaml:"former_webhook_secret"`
	// WebhookURL is where webhooks are posted, e.g. http://127.0.0.1:8080/v1/webhooks/payments/sandbox.
	// Default empty: no webhook is sent.
	WebhookURL string `yaml:"webhook_url"`
	// WebhookEvery is the interval at which due webhooks are delivered. Default 200 ms; 0 is refused.
	WebhookEvery time.Duration `yaml:"webhook_every"`
}

// minRetention is how long pkg/saga keeps sagas that have ended.
const minRetention = 7 * 24 * time.Hour

// Default returns the default configuration.
func Default() Config {
	return Config{
		ProviderTimeout:    5 * time.Second,
		ForgetRefusedAfter: 30 * 24 * time.Hour,
		Reconcile: ReconcileConfig{
			Every:   5 * time.Second,
			OpenFor: 30 * time.Second,
			GiveUp:  15 * time.Minute,
		},
		Sandbox: SandboxConfig{
			LostAfter:    time.Second,
			SlowFor:      3 * time.Second,
			WebhookEvery: 200 * time.Millisecond,
		},
	}
}

// Validate returns all problems of the configuration, joined.
func (c Config) Validate() error {
	var problems []error
	known := strings.Join(slices.Sorted(maps.Keys(providers)), ", ")
	switch _, ok := providers[c.Provider]; {
	case c.Provider == "":
		problems = append(problems, fmt.Errorf("provider: is not set; choose a payment provider: %s", known))
	case !ok:
		problems = append(problems, fmt.Errorf("provider: there is no %q; choose from: %s", c.Provider, known))
	}
	positive := func(name string, d time.Duration) {
		if d <= 0 {
			problems = append(problems, fmt.Errorf("%s: must be more than zero", name))
		}
	}
	positive("provider_timeout", c.ProviderTimeout)
	positive("reconcile.every", c.Reconcile.Every)
	positive("reconcile.give_up", c.Reconcile.GiveUp)
	positive("sandbox.webhook_every", c.Sandbox.WebhookEvery)
	if c.ForgetRefusedAfter != 0 && c.ForgetRefusedAfter < minRetention {
		problems = append(problems, errors.New("forget_refused_after: must be 0 or at least 168h"))
	}
	if c.Reconcile.OpenFor < 0 || c.Sandbox.LostAfter < 0 || c.Sandbox.SlowFor < 0 {
		problems = append(problems,
			errors.New("reconcile.open_for, sandbox.lost_after, sandbox.slow_for: must not be negative"))
	}
	if s := c.Sandbox.WebhookSecret.Get(); s != "" && len(s) < 16 {
		problems = append(problems, errors.New("sandbox.webhook_secret: must have 16 bytes or more"))
	}
	if c.Sandbox.WebhookURL != "" {
		if u, err := url.Parse(c.Sandbox.WebhookURL); err != nil || u.Host == "" ||
			(u.Scheme != "http" && u.Scheme != "https") {
			problems = append(problems, errors.New("sandbox.webhook_url: must be an http or https URL"))
		}
		if !c.Sandbox.WebhookSecret.IsSet() {
			problems = append(problems, errors.New("sandbox.webhook_secret: is required with webhook_url"))
		}
	}
	return errors.Join(problems...)
}
