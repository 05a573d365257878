package product

import (
	"errors"
	"time"
)

// Config is the section "product" of the configuration.
type Config struct {
	// ReservationTTL is how long stock is held for an order that does not say how long. Default 15m; at least 1s.
	ReservationTTL time.Duration `yaml:"reservation_ttl"`
	// SweepInterval is how often reservations are looked for whose time is up. Default 2s; at least 100ms.
	SweepInterval time.Duration `yaml:"sweep_interval"`
	// KeepReservations is how long reservations stay in the database that came to nothing: released, restocked, or
	// refused in advance. Those of sales stay with their orders. Default 720h; 0: for ever; else at least 168h, for so
	// long sagas are remembered that may ask about them.
	KeepReservations time.Duration `yaml:"keep_reservations"`
	// LowStock is the number of available pieces at which evt.inventory.low is sent. Default 5; 0: when the last one is taken.
	LowStock int64 `yaml:"low_stock"`
	// CacheTTL is how long a product may be shown out of date when its change could not be told. Default 30s; 0: no cache.
	CacheTTL time.Duration `yaml:"cache_ttl"`
	// SearchCacheTTL is how long an answer to a search is kept while nothing changes. Default 2s; 0: not at all.
	SearchCacheTTL time.Duration `yaml:"search_cache_ttl"`
	// WordsInterval is how often the search learns from the database's statistics which words are common. Default 1m; at least 1s.
	WordsInterval time.Duration `yaml:"words_interval"`
}

// leastKeep is how long pkg/saga remembers sagas that have ended.
const leastKeep = 7 * 24 * time.Hour

// Default returns the settings that count when nothing is said.
func Default() Config {
	return Config{
		ReservationTTL: 15 * time.Minute, SweepInterval: 2 * time.Second, KeepReservations: 30 * 24 * time.Hour, LowStock: 5,
		CacheTTL: 30 * time.Second, SearchCacheTTL: 2 * time.Second, WordsInterval: time.Minute,
	}
}

// Validate says all that is wrong.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, text string) {
		if !ok {
			problems = append(problems, errors.New(text))
		}
	}
	check(c.ReservationTTL >= time.Second && c.ReservationTTL <= 24*time.Hour, "reservation_ttl: must be from 1s to 24h")
	check(c.SweepInterval >= 100*time.Millisecond, "sweep_interval: must be at least 100ms")
	check(c.KeepReservations == 0 || c.KeepReservations >= leastKeep, "keep_reservations: must be 0 or at least 168h")
	check(c.LowStock >= 0, "low_stock: must not be negative")
	check(c.CacheTTL >= 0 && c.SearchCacheTTL >= 0, "cache_ttl, search_cache_ttl: must not be negative")
	check(c.WordsInterval >= time.Second, "words_interval: must be at least 1s")
	return errors.Join(problems...)
}
