//go:build none

package sample

import "errors"

// Config is the sample service's configuration, section "sample".
type Config struct {
	// MaxParts is the largest number of parts of an amount. Default 100; 0 is refused.
	MaxParts int32 `yaml:"max_parts"`
}

// Default returns the default configuration.
func Default() Config { return Config{MaxParts: 100} }

// Validate returns the problem of the configuration.
func (c Config) Validate() error {
	if c.MaxParts < 1 {
		return errors.New("max_parts: must be at least 1")
	}
	return nil
}
