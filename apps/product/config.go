package product

import (
	"errors"
	"time"
)

// Config is the section "product" of the configuration.
type Config struct {
	// ReservationTTL is how long stock is held if the order gives no time. Default 15m; from 1s to 24h.
	ReservationTTL time.Duration `yaml:"reservation_ttl"`
	// SweepInterval is the poll interval for expired reservations. Default 2s; at least 100ms.
	SweepInterval time.Duration `yaml:"sweep_interval"`
	// KeepReservations is the retention of released and restocked reservations and of tombstones. Those of sales
	// stay with their orders. Default 720h; 0 keeps them forever; otherwise at least 168h, because a saga is kept
	// that long and may ask about its reservation.
	KeepReservations time.Duration `yaml:"keep_reservations"`
	// LowStock is the number of available pieces at which evt.inventory.low is published. Default 5; 0: when the
	// last piece is taken.
	LowStock int64 `yaml:"low_stock"`
	// UnverifiedShopsSell lets shops sell that no operator has verified. Default false: their products are neither
	// shown nor sold. Shops that sold unverified before this setting existed keep selling. It is the default of a
	// system setting.
	UnverifiedShopsSell bool `yaml:"unverified_shops_sell"`
	// CacheTTL bounds how long a product is out of date if Redis missed its change. Default 30s; 0: no cache.
	CacheTTL time.Duration `yaml:"cache_ttl"`
	// SearchCacheTTL is how long the result of a search is cached while nothing changes. Default 2s; 0: no cache.
	SearchCacheTTL time.Duration `yaml:"search_cache_ttl"`
	// WordsInterval is how often the search reads from the database's statistics which words are common. Default
	// 1m; at least 1s.
	WordsInterval time.Duration `yaml:"words_interval"`
}

// minRetention is how long pkg/saga keeps sagas that have ended.
const minRetention = 7 * 24 * time.Hour

// Default returns the default settings.
func Default() Config {
	return Config{
		ReservationTTL:   15 * time.Minute,
		SweepInterval:    2 * time.Second,
		KeepReservations: 30 * 24 * time.Hour,
		LowStock:         5,
		CacheTTL:         30 * time.Second,
		SearchCacheTTL:   2 * time.Second,
		WordsInterval:    time.Minute,
	}
}

// Validate returns all problems of c, joined.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, text string) {
		if !ok {
			problems = append(problems, errors.New(text))
		}
	}
	check(c.ReservationTTL >= time.Second && c.ReservationTTL <= 24*time.Hour,
		"reservation_ttl: must be from 1s to 24h")
	check(c.SweepInterval >= 100*time.Millisecond, "sweep_interval: must be at least 100ms")
	check(c.KeepReservations == 0 || c.KeepReservations >= minRetention,
		"keep_reservations: must be 0 or at least 168h")
	check(c.LowStock >= 0, "low_stock: must not be negative")
	check(c.CacheTTL >= 0 && c.SearchCacheTTL >= 0, "cache_ttl, search_cache_ttl: must not be negative")
	check(c.WordsInterval >= time.Second, "words_interval: must be at least 1s")
	return errors.Join(problems...)
}
