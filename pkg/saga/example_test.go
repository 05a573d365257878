package saga_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"souk/pkg/errs"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

// payments stands for a participant. A real one is a generated client that sends the key as Idempotency-Key.
type payments struct{}

func (payments) authorize(_ context.Context, key string, _ int64) (string, error) {
	return "pay of " + key, nil
}
func (payments) void(context.Context, string) error    { return nil }
func (payments) capture(context.Context, string) error { return nil }

type purchase struct {
	OrderID string
	Minor   int64
}

// A purchase authorizes a payment, confirms the order (the pivot) and captures the payment. One batch inserts the
// order and starts the saga.
func Example() {
	if err := example(context.Background(), os.Getenv("DATABASE_URL")); err != nil {
		fmt.Println(err)
	}
}

// TestExample runs the example, which needs a database.
func TestExample(t *testing.T) {
	t.Parallel()
	require.NoError(t, example(t.Context(), pgtest.URL(t)))
}

func example(ctx context.Context, url string) (err error) {
	if err := migration.UpAll(ctx, url, saga.Migrations()); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: url})
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Exec(
		ctx, `create table if not exists purchase (id text primary key, status text not null)`,
	); err != nil {
		return err
	}

	var pay payments
	buy := saga.Definition{Type: "purchase", Version: 1, Deadline: 10 * time.Second, Steps: []saga.Step{
		{
			Name: "authorize",
			Do: func(ctx context.Context, r *saga.Run) error {
				var in purchase
				if err := r.Input(&in); err != nil {
					return err
				}
				payment, err := pay.authorize(ctx, r.Key(), in.Minor)
				if err != nil {
					return err
				}
				return r.Set("payment", payment)
			},
			Undo: func(ctx context.Context, r *saga.Run) error { return pay.void(ctx, r.Key()) },
		},
		{
			Name: "confirm", Pivot: true,
			Batch: func(r *saga.Run, b *pgx.Batch) error {
				// If the order was cancelled, the saga is compensated.
				b.Queue(
					`select souk_saga_require(exists (select from purchase where id = $1 and status = 'pending' for update),
					'conflict', 'the order was cancelled meanwhile')`,
					r.ID(),
				)
				b.Queue(`update purchase set status = 'confirmed' where id = $1`, r.ID())
				return nil
			},
		},
		{Name: "capture", Do: func(ctx context.Context, r *saga.Run) error { return pay.capture(ctx, r.Key()) }},
	}}
	runner, err := saga.NewRunner(pool, saga.Options{Definitions: []saga.Definition{buy}})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error { return runner.Run(running) })
	defer func() {
		stop()
		err = errors.Join(err, group.Wait())
	}()

	const id = "ord_1"
	var b pgx.Batch
	b.Queue(`insert into purchase (id, status) values ($1, 'pending')`, id)
	if err := runner.Start(ctx, &b, "purchase", id, purchase{OrderID: id, Minor: 5398}); err != nil {
		return err
	}
	if err := postgres.SendBatch(ctx, pool, &b); err != nil {
		return err
	}
	outcome, err := runner.Execute(ctx, id)
	if err != nil {
		return err // the outcome is unknown: Wait returns it later
	}
	if outcome.State != saga.Confirmed {
		return errs.From(outcome.Err)
	}
	var payment string
	return outcome.Get("payment", &payment)
}
