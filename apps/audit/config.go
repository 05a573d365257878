package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"time"

	"souk/pkg/audit"
	"souk/pkg/secrets"
)

// Config is the audit service's configuration, section "audit".
type Config struct {
	// Key (base64 of at least 32 random bytes) signs checkpoints. Empty: it is derived from identity.seed.
	Key secrets.Value `yaml:"key"`
	// Retain is how long entries are kept. Default 26280h, three years; 0: for ever.
	Retain time.Duration `yaml:"retain"`
	// CheckpointFile gets each checkpoint as a line. It should be on another machine's disk. Empty: none.
	CheckpointFile string `yaml:"checkpoint_file"`
	// CheckpointEvery is the time between two checkpoints, if there are new entries. Default 10 s.
	CheckpointEvery time.Duration `yaml:"checkpoint_every"`
	// VerifyEvery is the time between two checks of the whole trail. Default 30 s; 0: none.
	VerifyEvery time.Duration `yaml:"verify_every"`
}

// Default returns the default configuration.
func Default() Config {
	return Config{Retain: 3 * 365 * 24 * time.Hour, CheckpointEvery: 10 * time.Second, VerifyEvery: 30 * time.Second}
}

// Validate checks the configuration.
func (c *Config) Validate() error {
	var problems []error
	if c.Key.IsSet() {
		if _, err := decodeKey(c.Key.Get()); err != nil {
			problems = append(problems, err)
		}
	}
	if c.Retain != 0 && c.Retain < 24*time.Hour {
		problems = append(problems, errors.New("retain: must be at least 24h, or 0"))
	}
	if c.CheckpointEvery < time.Second {
		problems = append(problems, errors.New("checkpoint_every: must be at least 1s"))
	}
	if c.VerifyEvery != 0 && c.VerifyEvery < time.Second {
		problems = append(problems, errors.New("verify_every: must be at least 1s, or 0"))
	}
	return errors.Join(problems...)
}

func decodeKey(text string) (ed25519.PrivateKey, error) {
	secret, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(secret) < 32 {
		return nil, errors.New("key: must be the base64 of at least 32 random bytes")
	}
	return audit.DeriveKey(secret)
}

// SigningKey returns the key that signs checkpoints. Seed returns identity.seed, and is called if there is no key.
//
// Errors: the key or the seed is malformed or missing.
func (c *Config) SigningKey(seed func() ([]byte, error)) (ed25519.PrivateKey, error) {
	if c.Key.IsSet() {
		return decodeKey(c.Key.Get())
	}
	secret, err := seed()
	if err != nil {
		return nil, errors.New("audit.key: set it, because there is no identity.seed")
	}
	return audit.DeriveKey(secret)
}
