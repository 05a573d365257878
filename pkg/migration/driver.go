package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/golang-migrate/migrate/v4/database"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// driver is golang-migrate's driver for one database. The stock driver records the version before and after
// the file, in separate transactions; this one records it in the file's transaction.
type driver struct {
	ctx   context.Context //nolint:containedctx // golang-migrate's interface has no context parameter
	conn  *pgx.Conn
	table string

	// target is the version after the next Run.
	target int
}

var _ database.Driver = (*driver)(nil)

func connect(ctx context.Context, url, table string) (*driver, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "souk migrate"
	// A migration may run for any time. But it must not wait for ever for the lock of an open transaction,
	// because all other queries would wait behind it.
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.RuntimeParams["lock_timeout"] = "60s"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &driver{ctx: ctx, conn: conn, table: table}, nil
}

// Open always fails: souk does not use golang-migrate's registry of drivers.
func (d *driver) Open(string) (database.Driver, error) {
	return nil, errors.New("not opened by URL")
}

func (d *driver) Close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), 5*time.Second)
	defer cancel()
	return d.conn.Close(ctx)
}

// Lock waits until no other process migrates this set, then creates the version table if it is missing.
// It polls, because a backend that blocks in pg_advisory_lock holds a snapshot, and another set's
// "create index concurrently" would wait for that for ever.
func (d *driver) Lock() error {
	for {
		var got bool
		if err := d.conn.QueryRow(d.ctx, `select pg_try_advisory_lock(hashtextextended($1, 7))`, d.table).
			Scan(&got); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if got {
			break
		}
		select {
		case <-d.ctx.Done():
			return fmt.Errorf("lock: %w", d.ctx.Err())
		case <-time.After(25 * time.Millisecond):
		}
	}
	_, err := d.conn.Exec(d.ctx,
		`create table if not exists `+d.table+` (version bigint not null, dirty boolean not null)`)
	if err != nil {
		return fmt.Errorf("version table: %w", err)
	}
	return nil
}

func (d *driver) Unlock() error {
	if d.conn.IsClosed() { // which released the lock
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), 5*time.Second)
	defer cancel()
	_, err := d.conn.Exec(ctx, `select pg_advisory_unlock(hashtextextended($1, 7))`, d.table)
	return err
}

// SetVersion is called with dirty set before a file runs, and unset after it.
func (d *driver) SetVersion(version int, dirty bool) error {
	if dirty {
		d.target = version
		return nil
	}
	return pgx.BeginFunc(d.ctx, d.conn, func(tx pgx.Tx) error { return d.record(tx, version) })
}

func (d *driver) record(tx pgx.Tx, version int) error {
	if _, err := tx.Exec(d.ctx, `delete from `+d.table); err != nil {
		return fmt.Errorf("note version: %w", err)
	}
	if version < 0 {
		return nil
	}
	if _, err := tx.Exec(d.ctx, `insert into `+d.table+` (version, dirty) values ($1, false)`, version); err != nil {
		return fmt.Errorf("note version: %w", err)
	}
	return nil
}

// Run runs a file and records its version in one transaction.
func (d *driver) Run(file io.Reader) error {
	sql, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	return pgx.BeginFunc(d.ctx, d.conn, func(tx pgx.Tx) error {
		// The simple protocol accepts several statements in one query.
		if _, err := tx.Exec(d.ctx, string(sql), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fileError(d.target, string(sql), err)
		}
		return d.record(tx, d.target)
	})
}

// fileError adds the version and the line of the file to PostgreSQL's error.
func fileError(target int, sql string, err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Position < 1 {
		return fmt.Errorf("on the way to version %d: %w", target, err)
	}
	line, at := 1, int32(1)
	for _, r := range sql {
		if at >= pgErr.Position {
			break
		}
		if r == '\n' {
			line++
		}
		at++
	}
	return fmt.Errorf("on the way to version %d, line %d: %w", target, line, err)
}

func (d *driver) Version() (int, bool, error) {
	var version int
	var dirty bool
	err := d.conn.QueryRow(d.ctx, `select version, dirty from `+d.table+` limit 1`).Scan(&version, &dirty)
	switch {
	case err != nil && isUnversioned(err):
		return database.NilVersion, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("read version: %w", err)
	}
	return version, dirty, nil
}

// Drop always fails: nothing in souk drops a database's content.
func (d *driver) Drop() error { return errors.New("drop is not offered") }
