package cart

import (
	"errors"
	"fmt"
	"time"

	"souk/pkg/money"
	"souk/pkg/setting"
)

// Config is the cart service's configuration, section "cart".
type Config struct {
	// Currency is the currency of an empty cart's totals. Default BRL.
	Currency string `yaml:"currency"`
	// OfferTTL is how long an offer of the product service is kept in memory. A changed price is shown at once
	// regardless. Default 500 ms; 0 asks the product service on each call; at most 1 s.
	OfferTTL time.Duration `yaml:"offer_ttl"`
	// WriteBack is the delay after which a changed cart is written to PostgreSQL. Default 2 s; from 10 ms to 2 s,
	// so that the cart is written within 5 s even if a process dies during the write.
	WriteBack time.Duration `yaml:"write_back"`
	// GuestTTL and UserTTL are how long a cart is kept after its last change. Default 30 and 180 days; at least 1
	// h.
	GuestTTL time.Duration `yaml:"guest_ttl"`
	UserTTL  time.Duration `yaml:"user_ttl"`
	// AbandonedAfter is how long a user's cart with items must be unchanged to be abandoned: evt.cart.abandoned is
	// published, and the user gets a notice. Default 24 h; 0: no cart is abandoned. It is the default of a system
	// setting.
	AbandonedAfter time.Duration `yaml:"abandoned_after"`
}

const day = 24 * time.Hour

// Default returns the default configuration.
func Default() Config {
	return Config{
		Currency:  "BRL",
		OfferTTL:  500 * time.Millisecond,
		WriteBack: 2 * time.Second,
		GuestTTL:  30 * day,
		UserTTL:   180 * day,

		AbandonedAfter: day,
	}
}

// Validate reports all invalid values.
func (c Config) Validate() error {
	var problems []error
	if _, err := money.ParseCurrency(c.Currency); err != nil {
		problems = append(problems, fmt.Errorf("currency: %w", err))
	}
	if c.OfferTTL < 0 || c.OfferTTL > time.Second {
		problems = append(problems, errors.New("offer_ttl: must be from 0 to 1s"))
	}
	if c.WriteBack < 10*time.Millisecond || c.WriteBack > 2*time.Second {
		problems = append(problems, errors.New("write_back: must be from 10ms to 2s"))
	}
	if c.GuestTTL < time.Hour || c.UserTTL < time.Hour {
		problems = append(problems, errors.New("guest_ttl, user_ttl: must be at least 1h"))
	}
	return errors.Join(append(problems, c.settings().Check())...)
}

// settings returns the system settings that the configuration has. They apply until an operator sets others.
func (c Config) settings() setting.Values {
	v := setting.Values{}
	setting.CartAbandonedAfter.Put(v, c.AbandonedAfter)
	return v
}
