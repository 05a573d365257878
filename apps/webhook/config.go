package webhook

import (
	"errors"
	"time"
)

// Config is the webhook service's configuration, section "webhook".
type Config struct {
	// AllowLocal allows webhooks on this machine, also with http. It is for development. Default false.
	AllowLocal bool `yaml:"allow_local"`
	// Timeout bounds one request to a webhook. Default 10s; at least 1s and at most 1m.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is the most requests to webhooks that a process has in flight. Default 64; at least 1.
	Concurrency int `yaml:"concurrency"`
	// KeepDeliveries is how long the log of deliveries is kept. Default 720h; 0 keeps it for ever; otherwise at least
	// 168h, because a delivery may take that long.
	KeepDeliveries time.Duration `yaml:"keep_deliveries"`
}

const minRetention = 7 * 24 * time.Hour

// Default returns the default configuration.
func Default() Config {
	return Config{Timeout: 10 * time.Second, Concurrency: 64, KeepDeliveries: 30 * 24 * time.Hour}
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	switch {
	case c.Timeout < time.Second || c.Timeout > time.Minute:
		return errors.New("timeout must be at least 1s and at most 1m")
	case c.Concurrency < 1:
		return errors.New("concurrency must be at least 1")
	case c.KeepDeliveries != 0 && c.KeepDeliveries < minRetention:
		return errors.New("keep_deliveries must be 0 or at least 168h")
	}
	return nil
}
