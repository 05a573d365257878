package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"souk/pkg/postgres"
)

// updates measures one-row durable updates of a table with the given number of rows and connections. It is
// the best that this PostgreSQL can do on this disk. The table is created in the order service's database and
// dropped at the end.
func (b *bench) updates(ctx context.Context, rows, conns int, d time.Duration) (s stats, err error) {
	most := int32(conns) //nolint:gosec // a few dozen
	pool, err := postgres.Open(ctx,
		postgres.Config{URL: b.souk.state.Databases["order"], MaxConns: most, MinConns: most})
	if err != nil {
		return stats{}, err
	}
	defer pool.Close()
	for _, statement := range []string{
		"create schema bench",
		"create table bench.counter (id int primary key, n bigint not null) with (fillfactor = 50)",
		fmt.Sprintf("insert into bench.counter (id, n) select g, 0 from generate_series(1, %d) g", rows),
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return stats{}, err
		}
	}
	defer func() {
		_, derr := pool.Exec(context.WithoutCancel(ctx), "drop schema bench cascade")
		err = errors.Join(err, derr)
	}()
	var sync, commit string
	if err := pool.QueryRow(ctx, "select current_setting('fsync'), current_setting('synchronous_commit')").
		Scan(&sync, &commit); err != nil {
		return stats{}, err
	}
	if sync != "on" || commit != "on" {
		return stats{}, fmt.Errorf("fsync is %s and synchronous_commit is %s: both must be on", sync, commit)
	}
	update := func(ctx context.Context, _, _ int) error {
		_, err := pool.Exec(ctx, "update bench.counter set n = n + 1 where id = $1",
			1+rand.IntN(rows)) //nolint:gosec // any row
		return err
	}
	if _, err := hammer(ctx, conns, warmUpTime, update); err != nil {
		return stats{}, err
	}
	return hammer(ctx, conns, d, update)
}

// awaitSagas waits until all sagas have ended and returns how long that took.
func (b *bench) awaitSagas(ctx context.Context) (time.Duration, error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: b.souk.state.Databases["order"], MaxConns: 1})
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	began := time.Now()
	for time.Since(began) < time.Minute {
		var open int
		if err := pool.QueryRow(ctx, "select count(*) from saga where state in ('running', 'compensating')").
			Scan(&open); err != nil {
			return 0, err
		}
		if open == 0 {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return 0, errors.New("sagas still run a minute after the last checkout")
}

// now returns the database's time.
func (b *bench) now(ctx context.Context) (time.Time, error) {
	var t time.Time
	err := b.query(ctx, "order", "select clock_timestamp()", func(scan func(...any) error) error { return scan(&t) })
	return t, err
}

// query reads the rows of a statement in a service's database.
func (b *bench) query(
	ctx context.Context, service, sql string, read func(scan func(...any) error) error, args ...any,
) error {
	pool, err := postgres.Open(ctx, postgres.Config{URL: b.souk.state.Databases[service], MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	rows, err := pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// servicesWith returns the services whose database has the table.
func (b *bench) servicesWith(ctx context.Context, table string) ([]string, error) {
	var out []string
	for service := range b.souk.state.Databases {
		exists := false
		err := b.query(ctx, service, "select to_regclass($1) is not null",
			func(scan func(...any) error) error { return scan(&exists) }, table)
		if err != nil {
			return nil, err
		}
		if exists {
			out = append(out, service)
		}
	}
	return out, nil
}

// effort is PostgreSQL's work in all databases: transactions and syncs of the log.
type effort struct{ transactions, syncs int64 }

// effort reads the server's counters, which lag by about a second.
func (b *bench) effort(ctx context.Context) (e effort, err error) {
	err = b.query(ctx, "order",
		"select (select sum(xact_commit)::bigint from pg_stat_database), (select wal_sync from pg_stat_wal)",
		func(scan func(...any) error) error { return scan(&e.transactions, &e.syncs) })
	return e, err
}
