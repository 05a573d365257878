package postgres_test

import (
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/pgtest"
	"souk/pkg/postgres"
)

type counter struct{ n atomic.Int64 }

func (c *counter) Observe(seconds float64) {
	if seconds > 0 {
		c.n.Add(1)
	}
}

func TestMeasureCountsRoundTrips(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var c counter
	pool, err := postgres.Open(ctx, postgres.Config{URL: pgtest.URL(t, schema()), Tracer: postgres.Measure(&c)})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	trips := func(f func() error) int64 {
		before := c.n.Load()
		require.NoError(t, f())
		return c.n.Load() - before
	}
	require.EqualValues(t, 1, trips(func() error {
		_, err := pool.Exec(ctx, `update stock set n = n + 1 where sku = $1`, "a")
		return err
	}))
	require.EqualValues(t, 1, trips(func() error {
		var n int64
		return pool.QueryRow(ctx, `select n from stock where sku = $1`, "a").Scan(&n)
	}))
	require.EqualValues(t, 1, trips(func() error {
		var b pgx.Batch
		b.Queue(`select 1`)
		b.Queue(`select 2`)
		return pool.SendBatch(ctx, &b).Close()
	}), "a batch is one round trip")
	require.EqualValues(t, 3, trips(func() error { // begin, update, commit
		return postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `update stock set n = n + 1 where sku = $1`, "b")
			return err
		})
	}))
	require.EqualValues(t, 1, trips(func() error {
		_, err := pool.Exec(ctx, `select 1/0`)
		require.Error(t, err)
		return nil
	}), "a failure counts, too")
}
