package order

import (
	"errors"
	"fmt"
	"time"

	"souk/apps/order/internal/domain"
	"souk/pkg/money"
	"souk/pkg/setting"
)

// Config is the order service's configuration, section "order". MaxUnpaid, ExpireUnpaidAfter, Cash and Cancels are the
// defaults of system settings.
type Config struct {
	// Deadline is how long a checkout or a cancellation may take to reach its pivot before it is compensated.
	// Default 15 s; it must be shorter than the contract's 20 s.
	Deadline time.Duration `yaml:"deadline"`
	// AuthorizeTimeout bounds one attempt to authorize a payment. Default 6 s; 0 is invalid.
	AuthorizeTimeout time.Duration `yaml:"authorize_timeout"`
	// ReserveFor is how long stock stays reserved for a checkout, in whole seconds. Default 15 min; from 1 min to
	// 24 h.
	ReserveFor time.Duration `yaml:"reserve_for"`
	// ForgetRefusedAfter is how long refused checkouts are kept, of each customer the newest 20. Default 720 h (30
	// days); 0 keeps them for ever; otherwise at least 24 h, because a retry gets the same refusal.
	ForgetRefusedAfter time.Duration `yaml:"forget_refused_after"`
	// Shipping is the flat rate per shop order, by currency, e.g. BRL: "9.90". Shipping in other currencies is
	// free. Default: empty.
	Shipping map[string]string `yaml:"shipping"`
	// MaxUnpaid is the most orders with cash on delivery of a customer that are not delivered. Default 5; 0 is no
	// bound.
	MaxUnpaid int `yaml:"max_unpaid"`
	// ExpireUnpaidAfter is how long an order waits for its money; what is not shipped then is cancelled. Default 168 h
	// (7 days); 0 waits for ever.
	ExpireUnpaidAfter time.Duration `yaml:"expire_unpaid_after"`
	// Cash bounds orders with cash on delivery.
	Cash CashConfig `yaml:"cash"`
	// Cancels makes customers wait who cancel again and again.
	Cancels CancelsConfig `yaml:"cancels"`
}

// CashConfig bounds orders with cash on delivery.
type CashConfig struct {
	// Guests allows them to guests. Default false: anybody can be any number of guests.
	Guests bool `yaml:"guests"`
	// MaxPieces is the most pieces of an order. Default 50; 0 is no bound.
	MaxPieces int64 `yaml:"max_pieces"`
	// MaxTotal is the highest total of an order, by currency. Default BRL 2500.00, EUR, GBP and USD 500.00. 0 is no
	// bound. Orders in a currency that is not listed cannot be paid in cash.
	MaxTotal map[string]string `yaml:"max_total"`
}

// CancelsConfig makes customers wait who cancel again and again.
type CancelsConfig struct {
	// Free is how many orders a customer may cancel in 24 hours without having to wait. Default 3.
	Free int `yaml:"free"`
	// Wait is how long the customer waits with the next checkout after one more; it doubles with each further one, up
	// to 24 h. Default 1 min; 0 is no wait.
	Wait time.Duration `yaml:"wait"`
}

// Default returns the default configuration.
func Default() Config {
	return Config{
		Deadline:           15 * time.Second,
		AuthorizeTimeout:   6 * time.Second,
		ReserveFor:         15 * time.Minute,
		ForgetRefusedAfter: 30 * 24 * time.Hour,
		MaxUnpaid:          5,
		ExpireUnpaidAfter:  7 * 24 * time.Hour,
		Cash: CashConfig{
			MaxPieces: 50,
			MaxTotal:  map[string]string{"BRL": "2500.00", "EUR": "500.00", "GBP": "500.00", "USD": "500.00"},
		},
		Cancels: CancelsConfig{Free: 3, Wait: time.Minute},
	}
}

// Validate reports all invalid values.
func (c Config) Validate() error {
	var problems []error
	if c.Deadline <= 0 || c.Deadline >= 20*time.Second {
		problems = append(problems, errors.New("deadline: must be more than zero and less than 20s"))
	}
	if c.ForgetRefusedAfter != 0 && c.ForgetRefusedAfter < 24*time.Hour {
		problems = append(problems, errors.New("forget_refused_after: must be 0 or at least 24h"))
	}
	if c.AuthorizeTimeout <= 0 {
		problems = append(problems, errors.New("authorize_timeout: must be more than zero"))
	}
	if c.ReserveFor < time.Minute || c.ReserveFor > 24*time.Hour {
		problems = append(problems, errors.New("reserve_for: must be from 1m to 24h"))
	}
	_, err := amounts("shipping", c.Shipping)
	_, settingsErr := c.settings()
	return errors.Join(append(problems, err, settingsErr)...)
}

// settings returns the system settings that the configuration has. They apply until an operator sets others.
func (c Config) settings() (setting.Values, error) {
	most, err := amounts("cash.max_total", c.Cash.MaxTotal)
	v := setting.Values{}
	setting.OrderMaxUnpaid.Put(v, int64(c.MaxUnpaid))
	setting.OrderExpireUnpaidAfter.Put(v, c.ExpireUnpaidAfter)
	setting.OrderCashGuests.Put(v, c.Cash.Guests)
	setting.OrderCashMaxPieces.Put(v, c.Cash.MaxPieces)
	setting.OrderCashMaxTotal.Put(v, most)
	setting.OrderCancelsFree.Put(v, int64(c.Cancels.Free))
	setting.OrderCancelsWait.Put(v, c.Cancels.Wait)
	return v, errors.Join(err, v.Check())
}

// limits returns the limits that the system settings set.
func limits(v setting.Values) domain.Limits {
	return domain.Limits{
		MaxUnpaid:   int(setting.OrderMaxUnpaid.Of(v)),
		ExpireAfter: setting.OrderExpireUnpaidAfter.Of(v),
		FreeCancels: int(setting.OrderCancelsFree.Of(v)),
		CancelWait:  setting.OrderCancelsWait.Of(v),
		Cash: domain.CashLimits{
			Guests:    setting.OrderCashGuests.Of(v),
			MaxPieces: setting.OrderCashMaxPieces.Of(v),
			MaxTotal:  setting.OrderCashMaxTotal.Of(v),
		},
	}
}

// amounts reads the amounts of a setting, by currency.
func amounts(setting string, of map[string]string) (map[money.Currency]money.Money, error) {
	out := make(map[money.Currency]money.Money, len(of))
	var problems []error
	for code, amount := range of {
		m, err := money.Parse(amount, code)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s.%s: %w", setting, code, err))
		case m.IsNegative():
			problems = append(problems, fmt.Errorf("%s.%s: must not be negative", setting, code))
		default:
			out[m.Currency()] = m
		}
	}
	return out, errors.Join(problems...)
}
