package saga_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

// BenchmarkCheckout measures sagas of five steps whose participants do nothing.
func BenchmarkCheckout(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmark(b, callers) })
	}
}

func benchmark(b *testing.B, callers int) {
	pool, err := postgres.Open(b.Context(), postgres.Config{URL: pgtest.URL(b, tables()...), MaxConns: 16})
	require.NoError(b, err)
	defer pool.Close()
	nothing := func(context.Context, *saga.Run) error { return nil }
	r, err := saga.NewRunner(
		pool,
		saga.Options{Definitions: []saga.Definition{{Type: "bench", Version: 1, Steps: []saga.Step{
			{Name: "reserve", Do: nothing, Undo: nothing},
			{Name: "authorize", Do: nothing, Undo: nothing},
			{Name: "confirm", Pivot: true, Batch: func(r *saga.Run, b *pgx.Batch) error {
				b.Queue(`update orders set status = 'confirmed' where id = $1`, r.ID())
				return nil
			}},
			{Name: "capture", Do: nothing},
			{Name: "commit", Do: nothing},
		}}}},
	)
	require.NoError(b, err)
	stop := run(b, r)
	defer stop()
	in := map[string]string{
		"orderId": "ord_0198c5f27e6b7c1f8a3d5e9b04c7d21a",
		"cart":    "two items or three, and an address",
	}

	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				id := fmt.Sprintf("ord_%032d", n)
				var batch pgx.Batch
				batch.Queue(`insert into orders (id, status) values ($1, 'pending')`, id)
				if err := r.Start(b.Context(), &batch, "bench", id, in); err != nil {
					b.Error(err)
					return
				}
				if err := postgres.SendBatch(b.Context(), pool, &batch); err != nil {
					b.Error(err)
					return
				}
				if o, err := r.Execute(b.Context(), id); err != nil || o.State != saga.Confirmed {
					b.Error(o.State, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for {
		var open bool
		require.NoError(b,
			pool.QueryRow(b.Context(), `select exists (select from saga where state = 'running')`).Scan(&open))
		if !open {
			break
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "sagas/s")
}
