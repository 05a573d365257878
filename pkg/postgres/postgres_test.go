package postgres_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/errs"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func schema() migration.Set {
	return migration.Set{Name: "stock", FS: fstest.MapFS{
		"000001_stock.up.sql": {Data: []byte(`create table stock (
			sku text primary key,
			n   bigint not null constraint stock_not_negative check (n >= 0),
			at  timestamptz not null default '2026-01-02 03:04:05+00'
		);
		create table stock_move (id bigint primary key, sku text not null constraint stock_move_sku references stock);
		insert into stock (sku, n) values ('a', 10), ('b', 10);`)},
		"000001_stock.down.sql": {Data: []byte(`drop table stock_move; drop table stock;`)},
	}}
}

func setup(t *testing.T) (context.Context, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t, schema())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx, pool
}

func stock(ctx context.Context, t *testing.T, db postgres.Querier, sku string) int64 {
	t.Helper()
	var n int64
	require.NoError(t, db.QueryRow(ctx, `select n from stock where sku = $1`, sku).Scan(&n))
	return n
}

func TestOpen(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)

	t.Run("sessions and times are in UTC", func(t *testing.T) {
		t.Parallel()
		var at time.Time
		var zone string
		require.NoError(t,
			pool.QueryRow(ctx, `select at, current_setting('timezone') from stock where sku = 'a'`).Scan(&at, &zone))
		require.Equal(t, time.UTC, at.Location())
		require.Equal(t, "UTC", zone)
	})
	t.Run("invalid URL", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Open(ctx, postgres.Config{URL: "postgres://u:secret@h:port/"})
		require.Equal(t, errs.Invalid, errs.CodeOf(err))
		require.NotContains(t, err.Error(), "secret")
	})
	t.Run("no server", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Open(ctx, postgres.Config{URL: "postgres://u:secret@127.0.0.1:1/d"})
		require.Equal(t, errs.Unavailable, errs.CodeOf(err))
		require.NotContains(t, err.Error(), "secret")
	})
	t.Run("silent server", func(t *testing.T) {
		t.Parallel()
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = silent.Close() })
		_, err = postgres.Open(
			ctx,
			postgres.Config{
				URL:            "postgres://u@" + silent.Addr().String() + "/d?sslmode=disable",
				ConnectTimeout: 50 * time.Millisecond,
			},
		)
		require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	})
	t.Run("statement timeout", func(t *testing.T) {
		t.Parallel()
		p, err := postgres.Open(ctx,
			postgres.Config{URL: pool.Config().ConnString(), StatementTimeout: 20 * time.Millisecond})
		require.NoError(t, err)
		t.Cleanup(p.Close)
		_, err = p.Exec(ctx, `select pg_sleep(20)`)
		e := errs.From(postgres.Err(err))
		require.Equal(t, errs.Unavailable, e.Code)
		require.Equal(t, time.Second, e.RetryAfter)
	})
}

func TestErr(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)

	t.Run("nil stays nil", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, postgres.Err(nil))
	})
	t.Run("no rows", func(t *testing.T) {
		t.Parallel()
		var n int64
		err := postgres.Err(pool.QueryRow(ctx, `select n from stock where sku = 'no such'`).Scan(&n))
		require.Equal(t, errs.NotFound, errs.CodeOf(err))
		require.ErrorIs(t, err, pgx.ErrNoRows)
	})
	t.Run("a code is kept", func(t *testing.T) {
		t.Parallel()
		coded := errs.Wrap(pgx.ErrNoRows, errs.Forbidden, "no")
		require.Same(t, coded, errs.From(postgres.Err(coded)))
	})
	t.Run("deadline of the caller", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := pool.Exec(ctx, `select pg_sleep(20)`)
		require.Equal(t, errs.Timeout, errs.CodeOf(postgres.Err(err)))
	})
	t.Run("context of the caller is cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, err := pool.Exec(ctx, `select 1`)
		require.Equal(t, errs.Timeout, errs.CodeOf(postgres.Err(err)))
	})
	t.Run("the server ends the session", func(t *testing.T) {
		t.Parallel()
		conn, err := pool.Acquire(ctx)
		require.NoError(t, err)
		defer conn.Release()
		_, err = conn.Exec(ctx, `select pg_terminate_backend(pg_backend_pid())`)
		require.Equal(t, errs.Unavailable, errs.CodeOf(postgres.Err(err)))
		_, err = conn.Exec(ctx, `select 1`)
		require.Equal(t, errs.Unavailable, errs.CodeOf(postgres.Err(err)))
	})
	t.Run("a closed pool", func(t *testing.T) {
		t.Parallel()
		p, err := postgres.Open(ctx, postgres.Config{URL: pool.Config().ConnString()})
		require.NoError(t, err)
		p.Close()
		_, err = p.Exec(ctx, `select 1`)
		require.Equal(t, errs.Unavailable, errs.CodeOf(postgres.Err(err)))
	})
	t.Run("violated constraints are recognized and have no code", func(t *testing.T) {
		t.Parallel()
		_, err := pool.Exec(ctx, `insert into stock (sku, n) values ('a', 1)`)
		require.True(t, postgres.IsUnique(postgres.Err(err), "stock_pkey"))
		require.True(t, postgres.IsUnique(err, ""))
		require.False(t, postgres.IsUnique(err, "other"))
		require.Equal(t, errs.Internal, errs.CodeOf(postgres.Err(err)))
		_, err = pool.Exec(ctx, `update stock set n = -1 where sku = 'a'`)
		require.True(t, postgres.IsCheck(err, "stock_not_negative"))
		_, err = pool.Exec(ctx, `insert into stock_move (id, sku) values (1, 'no such')`)
		require.True(t, postgres.IsForeignKey(err, "stock_move_sku"))
	})
}

func TestInTx(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	take := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `update stock set n = n - 1 where sku = 'a'`)
		return err
	}

	t.Run("commits", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		require.NoError(t, postgres.InTx(ctx, pool, func(tx pgx.Tx) error { return take(ctx, tx) }))
		require.EqualValues(t, 9, stock(ctx, t, pool, "a"))
	})
	t.Run("rolls back on an error", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error { return errors.Join(take(ctx, tx), boom) })
		require.ErrorIs(t, err, boom)
		require.EqualValues(t, 10, stock(ctx, t, pool, "a"))
	})
	t.Run("rolls back on a panic", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		require.PanicsWithValue(t, "boom", func() {
			_ = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
				require.NoError(t, take(ctx, tx))
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
		err := postgres.InTx(caller, pool, func(tx pgx.Tx) error {
			defer cancel()
			return take(ctx, tx)
		})
		require.Equal(t, errs.Timeout, errs.CodeOf(err))
		require.EqualValues(t, 10, stock(ctx, t, pool, "a"))
	})
	t.Run("returns the commit's error", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		_, err := pool.Exec(ctx, `alter table stock_move alter constraint stock_move_sku deferrable initially deferred`)
		require.NoError(t, err)
		err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `insert into stock_move (id, sku) values (1, 'no such')`)
			return err
		})
		require.True(t, postgres.IsForeignKey(err, "stock_move_sku"))
	})
	t.Run("a deadlock is retried", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		_, err := pool.Exec(
			ctx,
			`alter database `+pgx.Identifier{
				pool.Config().ConnConfig.Database,
			}.Sanitize()+` set deadlock_timeout = '20ms'`,
		)
		require.NoError(t, err)
		pool.Reset()
		// On the first attempt, both lock their first row before either locks its second.
		var both, done sync.WaitGroup
		both.Add(2)
		failures := make(chan error, 2)
		for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
			done.Go(func() {
				first := true
				failures <- postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
					for i, sku := range order {
						if _, err := tx.Exec(ctx, `update stock set n = n - 1 where sku = $1`, sku); err != nil {
							return err
						}
						if i == 0 && first {
							first = false
							both.Done()
							both.Wait()
						}
					}
					return nil
				})
			})
		}
		done.Wait()
		require.NoError(t, waittest.Receive(t, failures))
		require.NoError(t, waittest.Receive(t, failures))
		require.EqualValues(t, 8, stock(ctx, t, pool, "a"))
		require.EqualValues(t, 8, stock(ctx, t, pool, "b"))
	})
	t.Run("repeated serialization failures are unavailable", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		runs := 0
		err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			runs++
			_, err := tx.Exec(ctx, `do $$ begin raise exception 'lost' using errcode = '40001'; end $$`)
			return err
		})
		require.Equal(t, errs.Unavailable, errs.CodeOf(err))
		require.Equal(t, 5, runs)
	})
}

func TestSendBatch(t *testing.T) {
	t.Parallel()

	t.Run("all or nothing", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		b := &pgx.Batch{}
		b.Queue(`update stock set n = n - 1 where sku = 'a'`)
		b.Queue(`update stock set n = n - 100 where sku = 'b'`)
		b.Queue(`update stock set n = 7 where sku = 'a'`)
		err := postgres.SendBatch(ctx, pool, b)
		require.True(t, postgres.IsCheck(err, "stock_not_negative"))
		require.EqualValues(t, 10, stock(ctx, t, pool, "a"))
	})
	t.Run("callbacks get their results", func(t *testing.T) {
		t.Parallel()
		ctx, pool := setup(t)
		b := &pgx.Batch{}
		var n int64
		b.Queue(`update stock set n = n - 1 where sku = 'a'`)
		b.Queue(`select n from stock where sku = 'a'`).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		require.NoError(t, postgres.SendBatch(ctx, pool, b))
		require.EqualValues(t, 9, n)
	})
	t.Run("an empty batch does nothing", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, postgres.SendBatch(t.Context(), nil, &pgx.Batch{}))
	})
}

func TestByKeyUsesTheIndexOfASmallTable(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	for byKey, want := range map[bool]string{true: "Index", false: "Seq Scan"} {
		pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, ByKey: byKey})
		require.NoError(t, err)
		defer pool.Close()
		_, err = pool.Exec(
			t.Context(),
			`create table if not exists small (id int primary key); insert into small values (1) on conflict do nothing; analyze small`,
		)
		require.NoError(t, err)
		var plan string
		require.NoError(t, pool.QueryRow(t.Context(), `explain select from small where id = 1`).Scan(&plan))
		require.Contains(t, plan, want)
	}
}

// Behind a pooler in transaction mode, each transaction may be in another session.
func TestPooledConnections(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	url := pgtest.URL(t, schema())
	// The tests' role is a superuser that they share, so its defaults are those of the test's database only.
	require.NoError(t, postgres.SetForRole(ctx, postgres.Config{URL: url, ByKey: true, LockTimeout: 3 * time.Second}))
	pool, err := postgres.Open(ctx, postgres.Config{URL: pgtest.Pooler(t, url, 2), Pooled: true, MaxConns: 16})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.True(t, postgres.Pooled(pool))

	for name, want := range map[string]string{
		"timezone": "UTC", "enable_seqscan": "off", "lock_timeout": "3s", "statement_timeout": "30s", "jit": "off",
		"idle_in_transaction_session_timeout": "30s",
	} {
		var got string
		require.NoError(t, pool.QueryRow(ctx, `select current_setting($1)`, name).Scan(&got))
		require.Equal(t, want, got, name)
	}

	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, `update stock set n = n + $1 where sku = $2`, 1, "a")
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 330, stock(ctx, t, pool, "a"))

	direct, err := postgres.Open(ctx, postgres.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	require.False(t, postgres.Pooled(direct))
	var seqscan string
	require.NoError(t, direct.QueryRow(ctx, `select current_setting('enable_seqscan')`).Scan(&seqscan))
	require.Equal(t, "on", seqscan, "a connection's own settings have precedence over the role's")
}
