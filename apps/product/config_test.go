package product_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/product"
)

func TestValidateNamesTheInvalidField(t *testing.T) {
	t.Parallel()
	require.NoError(t, product.Default().Validate())
	for name, change := range map[string]func(*product.Config){
		"reservation_ttl":   func(c *product.Config) { c.ReservationTTL = 0 },
		"sweep_interval":    func(c *product.Config) { c.SweepInterval = time.Millisecond },
		"keep_reservations": func(c *product.Config) { c.KeepReservations = 167 * time.Hour },
		"low_stock":         func(c *product.Config) { c.LowStock = -1 },
		"search_cache_ttl":  func(c *product.Config) { c.SearchCacheTTL = -1 },
		"words_interval":    func(c *product.Config) { c.WordsInterval = 0 },
	} {
		c := product.Default()
		change(&c)
		require.ErrorContains(t, c.Validate(), name)
	}
	keepForever := product.Default()
	keepForever.KeepReservations = 0
	require.NoError(t, keepForever.Validate())
}
