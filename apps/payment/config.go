package payment

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Config is the payment service's configuration, section "payment".
type Config struct {
	// ProviderTimeout bounds one call to the payment provider. Default 5 s; 0 is refused.
	ProviderTimeout time.Duration `yaml:"provider_timeout"`
	// Reconcile is about payments whose end is open.
	Reconcile ReconcileConfig `yaml:"reconcile"`
	// Sandbox is the embedded provider.
	Sandbox SandboxConfig `yaml:"sandbox"`
}

// ReconcileConfig is about payments whose end is open: an answer was lost, a process died.
type ReconcileConfig struct {
	// Every is the pause between two passes. Default 5 s; 0 is refused.
	Every time.Duration `yaml:"every"`
	// OpenFor is after how long the provider is asked. Default 30 s; 0 asks at once.
	OpenFor time.Duration `yaml:"open_for"`
	// GiveUp is after how long a payment is voided that the provider never heard of. Default 15 min; 0 is refused.
	GiveUp time.Duration `yaml:"give_up"`
}

// SandboxConfig is the embedded provider of development and tests.
type SandboxConfig struct {
	// LostAfter is how long a call takes whose answer is lost. Default 1 s; 0: no time at all.
	LostAfter time.Duration `yaml:"lost_after"`
	// SlowFor is how long a slow answer takes. Default 3 s; 0: no time at all.
	SlowFor time.Duration `yaml:"slow_for"`
	// WebhookSecret signs webhooks, 16 bytes or more. Default empty: none are accepted.
	WebhookSecret string `yaml:"webhook_secret"`
	// WebhookURL is where webhooks go, e.g. http://127.0.0.1:8080/v1/webhooks/payments/sandbox. Default empty: none are sent.
	WebhookURL string `yaml:"webhook_url"`
	// WebhookEvery is the pause between two looks for webhooks to deliver. Default 200 ms; 0 is refused.
	WebhookEvery time.Duration `yaml:"webhook_every"`
}

// Default returns the configuration with nothing set.
func Default() Config {
	return Config{
		ProviderTimeout: 5 * time.Second,
		Reconcile:       ReconcileConfig{Every: 5 * time.Second, OpenFor: 30 * time.Second, GiveUp: 15 * time.Minute},
		Sandbox:         SandboxConfig{LostAfter: time.Second, SlowFor: 3 * time.Second, WebhookEvery: 200 * time.Millisecond},
	}
}

// Validate says all that is wrong.
func (c Config) Validate() error {
	var problems []error
	positive := func(name string, d time.Duration) {
		if d <= 0 {
			problems = append(problems, fmt.Errorf("%s: must be more than zero", name))
		}
	}
	positive("provider_timeout", c.ProviderTimeout)
	positive("reconcile.every", c.Reconcile.Every)
	positive("reconcile.give_up", c.Reconcile.GiveUp)
	positive("sandbox.webhook_every", c.Sandbox.WebhookEvery)
	if c.Reconcile.OpenFor < 0 || c.Sandbox.LostAfter < 0 || c.Sandbox.SlowFor < 0 {
		problems = append(problems, errors.New("reconcile.open_for, sandbox.lost_after, sandbox.slow_for: must not be negative"))
	}
	if s := c.Sandbox.WebhookSecret; s != "" && len(s) < 16 {
		problems = append(problems, errors.New("sandbox.webhook_secret: must have 16 bytes or more"))
	}
	if c.Sandbox.WebhookURL != "" {
		if u, err := url.Parse(c.Sandbox.WebhookURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			problems = append(problems, errors.New("sandbox.webhook_url: must be an http or https URL"))
		}
		if c.Sandbox.WebhookSecret == "" {
			problems = append(problems, errors.New("sandbox.webhook_secret: is required with webhook_url"))
		}
	}
	return errors.Join(problems...)
}
