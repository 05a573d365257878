package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/postgres"
)

func TestInBatches(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	take := func(n int) *pgx.Batch {
		b := &pgx.Batch{}
		b.Queue(`update stock set n = n - $1 where sku = 'a'`, n)
		return b
	}
	for name, c := range map[string]struct {
		f    func(context.Context, *postgres.Batches) error
		left int64
		err  func(t *testing.T, err error)
	}{
		"two batches": {left: 7, f: func(ctx context.Context, tx *postgres.Batches) error {
			return errors.Join(tx.Send(ctx, take(1)), tx.Commit(ctx, take(2)))
		}},
		"one batch": {
			left: 9, f: func(ctx context.Context, tx *postgres.Batches) error { return tx.Commit(ctx, take(1)) },
		},
		"commit is implicit": {left: 7, f: func(ctx context.Context, tx *postgres.Batches) error {
			return errors.Join(tx.Send(ctx, take(1)), tx.Send(ctx, take(2)))
		}},
		"statements in between": {left: 6, f: func(ctx context.Context, tx *postgres.Batches) error {
			if err := tx.Send(ctx, take(1)); err != nil {
				return err
			}
			_, err := tx.Conn().Exec(ctx, `update stock set n = n - 3 where sku = 'a'`)
			return err
		}},
		"empty batch": {
			left: 10, f: func(ctx context.Context, tx *postgres.Batches) error { return tx.Send(ctx, &pgx.Batch{}) },
		},
		"error of the function": {left: 10, err: func(t *testing.T, err error) { require.ErrorIs(t, err, boom) },
			f: func(ctx context.Context, tx *postgres.Batches) error {
				return errors.Join(tx.Send(ctx, take(1)),
					boom)
			}},
		"a statement before the commit is refused": {left: 10, err: func(t *testing.T, err error) {
			require.True(t,
				postgres.IsCheck(err, "stock_not_negative"), "%v", err)
		},
			f: func(ctx context.Context, tx *postgres.Batches) error {
				return errors.Join(tx.Send(ctx, take(1)), tx.Commit(ctx, take(100)))
			}},
		"a callback that fails": {left: 10, err: func(t *testing.T, err error) { require.ErrorIs(t, err, boom) },
			f: func(ctx context.Context, tx *postgres.Batches) error {
				b := take(1)
				b.Queue(`select 1`).QueryRow(func(pgx.Row) error { return boom })
				return tx.Send(ctx, b)
			}},
		"a deferred constraint refuses the commit": {left: 10, err: func(t *testing.T, err error) {
			require.True(t, postgres.IsForeignKey(err, "stock_move_sku"), "%v", err)
		},
			f: func(ctx context.Context, tx *postgres.Batches) error {
				b := take(1)
				b.Queue(`set constraints all deferred`)
				b.Queue(`insert into stock_move (id, sku) values (1, 'no such')`)
				return tx.Commit(ctx, b)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, pool := setup(t)
			_, err := pool.Exec(ctx, `alter table stock_move alter constraint stock_move_sku deferrable`)
			require.NoError(t, err)
			err = postgres.InBatches(ctx, pool, nil, func(tx *postgres.Batches) error { return c.f(ctx, tx) })
			if c.err != nil {
				c.err(t, err)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, c.left, stock(ctx, t, pool, "a"))
			require.Zero(t, pool.Stat().AcquiredConns())
		})
	}
	t.Run("settings hold for the transaction", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		timeout := func(tx interface {
			QueryRow(context.Context, string, ...any) pgx.Row
		}) (out string) {
			require.NoError(t, tx.QueryRow(ctx, `show lock_timeout`).Scan(&out))
			return out
		}
		before := timeout(pool)
		require.NoError(
			t,
			postgres.InBatches(
				ctx,
				pool,
				[]string{`set local lock_timeout = '123ms'`},
				func(tx *postgres.Batches) error {
					require.NoError(t, tx.Send(ctx, take(1)))
					require.Equal(t, "123ms", timeout(tx.Conn()))
					return nil
				},
			),
		)
		require.Equal(t, before, timeout(pool))
	})
	t.Run("rolls back on a panic", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		require.PanicsWithValue(t, "boom", func() {
			_ = postgres.InBatches(ctx, pool, nil, func(tx *postgres.Batches) error {
				require.NoError(t, tx.Send(ctx, take(1)))
				panic("boom")
			})
		})
		require.EqualValues(t, 10, stock(ctx, t, pool, "a"))
		require.Zero(t, pool.Stat().AcquiredConns())
	})
	t.Run("rolls back after the context ended", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		caller, cancel := context.WithCancel(ctx)
		err := postgres.InBatches(caller, pool, nil, func(tx *postgres.Batches) error {
			defer cancel()
			return tx.Send(ctx, take(1))
		})
		require.Equal(t, errs.Timeout, errs.CodeOf(err))
		require.EqualValues(t, 10, stock(ctx, t, pool, "a"))
	})
	t.Run("a serialization failure is retried", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		runs := 0
		err := postgres.InBatches(ctx, pool, nil, func(tx *postgres.Batches) error {
			runs++
			b := take(1)
			if runs < 3 {
				b.Queue(`do $$ begin raise exception 'lost' using errcode = '40001'; end $$`)
			}
			return tx.Commit(ctx, b)
		})
		require.NoError(t, err)
		require.Equal(t, 3, runs)
		require.EqualValues(t, 9, stock(ctx, t, pool, "a"))
	})
}
