// Package postgres opens PostgreSQL pools and holds what repositories share: transactions that retry,
// batches that are one round trip, group commit of concurrent callers, and the codes of errors.
//
// Round trips are the cost of a use case, so the statements of one go out together (SendBatch), and
// writes to one hot row are gathered from all callers that want it at the moment (Group).
package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/errs"
)

// Config says which database to open, and how. Only URL is required.
type Config struct {
	// URL is postgres://user:password@host:port/database, or a libpq keyword string.
	URL string `yaml:"url"`
	// MaxConns bounds the pool; 0: 10.
	MaxConns int32 `yaml:"max_conns"`
	// MinConns are kept open even when idle; 0: none.
	MinConns int32 `yaml:"min_conns"`
	// ConnectTimeout bounds one attempt to connect; 0: 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// StatementTimeout is after how long the server gives up a statement; 0: 30 s; negative: never.
	StatementTimeout time.Duration `yaml:"statement_timeout"`
	// LockTimeout is after how long a statement stops waiting for a lock; 0: 10 s; negative: never.
	LockTimeout time.Duration `yaml:"lock_timeout"`
	// IdleInTransactionTimeout is after how long the server ends a session that forgot its transaction; 0: 30 s; negative: never.
	IdleInTransactionTimeout time.Duration `yaml:"idle_in_transaction_timeout"`
	// MaxConnLifetime is after how long a connection is replaced, so that a pool finds a new primary; 0: 30 min.
	MaxConnLifetime time.Duration `yaml:"max_conn_lifetime"`
	// ByKey says that statements find their rows by keys: no plan reads a whole table if an index will do. Plans are made
	// once and kept; one that is made while a table is small, or before the server has counted it, would read all of it
	// for as long as the statement lives, while it grows.
	ByKey bool `yaml:"by_key"`
	// ApplicationName is shown in pg_stat_activity; "": souk.
	ApplicationName string `yaml:"application_name"`
	// Tracer sees every statement; nil: none.
	Tracer pgx.QueryTracer `yaml:"-"`
}

// Execer is what runs a statement: a pool, a connection or a transaction.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Querier is what runs statements and queries: a pool, a connection or a transaction.
type Querier interface {
	Execer
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Batcher is what sends a batch: a pool, a connection or a transaction.
type Batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Beginner is what begins a transaction: a pool, a connection or a transaction.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

var (
	_ Querier  = (*pgxpool.Pool)(nil)
	_ Batcher  = (*pgxpool.Pool)(nil)
	_ Beginner = (*pgxpool.Pool)(nil)
	_ Querier  = (pgx.Tx)(nil)
)

// Open returns a pool that has reached its server once. Sessions run in UTC, times are scanned in UTC, and plans are
// made for disks on which a random page costs hardly more than the next one.
// Its errors: invalid_argument for a URL that is none, unavailable when the server does not answer.
func Open(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "the database URL cannot be read")
	}
	pc.MaxConns = or(cfg.MaxConns, 10)
	pc.MinConns = min(cfg.MinConns, pc.MaxConns)
	pc.MaxConnLifetime = or(cfg.MaxConnLifetime, 30*time.Minute)
	pc.MaxConnLifetimeJitter = pc.MaxConnLifetime / 10
	pc.MaxConnIdleTime = 10 * time.Minute
	pc.ConnConfig.ConnectTimeout = or(cfg.ConnectTimeout, 5*time.Second)
	pc.ConnConfig.Tracer = cfg.Tracer
	pc.ConnConfig.StatementCacheCapacity = statements

	params := pc.ConnConfig.RuntimeParams
	params["timezone"] = "UTC"
	// Disks have no heads to move. The server's default of 4 has it scan tables of hundreds of rows from end to end, and
	// hash them, for statements that take a few rows by their keys.
	params["random_page_cost"] = "1.1"
	params["jit"] = "off" // compiling takes longer than our statements run
	if cfg.ByKey {
		params["enable_seqscan"] = "off"
	}
	params["application_name"] = or(cfg.ApplicationName, "souk")
	params["statement_timeout"] = milliseconds(or(cfg.StatementTimeout, 30*time.Second))
	params["lock_timeout"] = milliseconds(or(cfg.LockTimeout, 10*time.Second))
	params["idle_in_transaction_session_timeout"] = milliseconds(or(cfg.IdleInTransactionTimeout, 30*time.Second))
	pc.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return registerArrays(conn.TypeMap())
	}

	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "the database configuration is wrong")
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database %s: %w", pc.ConnConfig.Database, Err(err))
	}
	return pool, nil
}

// statements is how many prepared statements a connection keeps: no service has as many. The cache's room is taken
// beforehand, in every connection.
const statements = 128

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func milliseconds(d time.Duration) string {
	if d < 0 {
		return "0"
	}
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}
