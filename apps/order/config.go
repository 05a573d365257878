package order

import (
	"errors"
	"fmt"
	"time"

	"souk/pkg/money"
)

// Config is the order service's configuration, section "order".
type Config struct {
	// Deadline is how long a checkout or a cancellation may take to reach its pivot before it is compensated.
	// Default 15 s; it must be shorter than the contract's 20 s.
	Deadline time.Duration `yaml:"deadline"`
	// AuthorizeTimeout bounds one attempt to authorize a payment. Default 6 s; 0 is invalid.
	AuthorizeTimeout time.Duration `yaml:"authorize_timeout"`
	// ReserveFor is how long stock stays reserved for a checkout, in whole seconds. Default 15 min; from 1 min to
	// 24 h.
	ReserveFor time.Duration `yaml:"reserve_for"`
	// ForgetRefusedAfter is how long the names and addresses of refused checkouts are kept. Default 720 h (30
	// days); 0 keeps them for ever.
	ForgetRefusedAfter time.Duration `yaml:"forget_refused_after"`
	// Shipping is the flat rate per shop order, by currency, e.g. BRL: "9.90". Shipping in other currencies is
	// free. Default: empty.
	Shipping map[string]string `yaml:"shipping"`
}

// Default returns the default configuration.
func Default() Config {
	return Config{
		Deadline:           15 * time.Second,
		AuthorizeTimeout:   6 * time.Second,
		ReserveFor:         15 * time.Minute,
		ForgetRefusedAfter: 30 * 24 * time.Hour,
	}
}

// Validate reports all invalid values.
func (c Config) Validate() error {
	var problems []error
	if c.Deadline <= 0 || c.Deadline >= 20*time.Second {
		problems = append(problems, errors.New("deadline: must be more than zero and less than 20s"))
	}
	if c.ForgetRefusedAfter < 0 {
		problems = append(problems, errors.New("forget_refused_after: must not be negative"))
	}
	if c.AuthorizeTimeout <= 0 {
		problems = append(problems, errors.New("authorize_timeout: must be more than zero"))
	}
	if c.ReserveFor < time.Minute || c.ReserveFor > 24*time.Hour {
		problems = append(problems, errors.New("reserve_for: must be from 1m to 24h"))
	}
	_, err := c.rates()
	return errors.Join(append(problems, err)...)
}

func (c Config) rates() (map[money.Currency]money.Money, error) {
	out := make(map[money.Currency]money.Money, len(c.Shipping))
	var problems []error
	for code, amount := range c.Shipping {
		m, err := money.Parse(amount, code)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("shipping.%s: %w", code, err))
		case m.IsNegative():
			problems = append(problems, fmt.Errorf("shipping.%s: must not be negative", code))
		default:
			out[m.Currency()] = m
		}
	}
	return out, errors.Join(problems...)
}
