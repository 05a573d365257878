package keyring

import (
	"encoding/base64"
	"errors"
	"time"

	"souk/pkg/secrets"
)

// keySize is the length of a key in bytes, for AES-256.
const keySize = 32

// Config is the keyring service's configuration, section "keyring".
type Config struct {
	// Key (base64 of 32 random bytes) wraps the keys of personal data. Required. Without it the data is lost.
	Key secrets.Value `yaml:"key"`
	// FormerKey is another key with which keys can be unwrapped: the next one before a change, and the former one after
	// it, until all keys are wrapped again. Empty: none.
	FormerKey secrets.Value `yaml:"former_key"`
	// RewrapEvery is the time between two looks for keys that are to be wrapped again. Default 1 min.
	RewrapEvery time.Duration `yaml:"rewrap_every"`
}

// Default returns the default configuration.
func Default() Config { return Config{RewrapEvery: time.Minute} }

// Validate checks the configuration.
func (c *Config) Validate() error {
	var problems []error
	if !c.Key.IsSet() {
		problems = append(problems, errors.New("key: set it to the base64 of 32 random bytes, and keep a copy: "+
			"without it personal data cannot be read"))
	} else if _, err := decodeKey(c.Key.Get()); err != nil {
		problems = append(problems, errors.New("key: "+err.Error()))
	}
	if c.FormerKey.IsSet() {
		if _, err := decodeKey(c.FormerKey.Get()); err != nil {
			problems = append(problems, errors.New("former_key: "+err.Error()))
		}
	}
	if c.RewrapEvery < time.Second {
		problems = append(problems, errors.New("rewrap_every: must be at least 1s"))
	}
	return errors.Join(problems...)
}

func decodeKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != keySize {
		return nil, errors.New("must be the base64 of 32 random bytes")
	}
	return key, nil
}
