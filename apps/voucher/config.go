package voucher

import (
	"errors"
	"time"
)

// Config is the voucher service's configuration, section "voucher".
type Config struct {
	// ForgetReleasedAfter is how long is kept that the vouchers of an order were released. Default 720h; 0 keeps it for
	// ever; otherwise at least 168h, because a saga is kept that long and may redeem vouchers late.
	ForgetReleasedAfter time.Duration `yaml:"forget_released_after"`
}

// minRetention is how long pkg/saga keeps sagas that have ended.
const minRetention = 7 * 24 * time.Hour

// Default returns the default configuration.
func Default() Config { return Config{ForgetReleasedAfter: 30 * 24 * time.Hour} }

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.ForgetReleasedAfter != 0 && c.ForgetReleasedAfter < minRetention {
		return errors.New("forget_released_after must be 0 or at least 168h")
	}
	return nil
}
