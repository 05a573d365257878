// Package postgres opens PostgreSQL pools and provides what repositories share: transactions that retry, batches that
// take one round trip, and error codes.
//
// Round trips dominate the cost of a use case. So its statements are sent as one batch ([SendBatch], [InBatches]),
// and rows of several callers are written by one statement ([QueueRow], package souk/pkg/batch).
package postgres

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/errs"
)

// Config configures a pool. Only URL is required.
type Config struct {
	// URL is postgres://user:password@host:port/database, or a libpq keyword string. The files that it names for TLS
	// (sslrootcert, sslcert, sslkey) are read at each connection.
	URL string `yaml:"url"`
	// Current returns the URL of now, if it may change: its password, for new connections, and its user or server,
	// which also replaces the connections to the former one. Nil means that the URL does not change.
	Current func() (string, error) `yaml:"-"`
	// MaxConns is the maximum size of the pool. 0 means 10.
	MaxConns int32 `yaml:"max_conns"`
	// MinConns is how many connections stay open even when idle.
	MinConns int32 `yaml:"min_conns"`
	// ConnectTimeout bounds one attempt to connect. 0 means 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// StatementTimeout is how long the server lets a statement run. 0 means 30 s, a negative value no limit.
	StatementTimeout time.Duration `yaml:"statement_timeout"`
	// LockTimeout is how long a statement waits for a lock. 0 means 10 s, a negative value no limit.
	LockTimeout time.Duration `yaml:"lock_timeout"`
	// IdleInTransactionTimeout is how long a session may be idle in a transaction before the server ends it. 0 means
	// 30 s, a negative value no limit.
	IdleInTransactionTimeout time.Duration `yaml:"idle_in_transaction_timeout"`
	// MaxConnLifetime is the age at which a connection is replaced, so that a pool finds a new primary. 0 means 30
	// min.
	MaxConnLifetime time.Duration `yaml:"max_conn_lifetime"`
	// ByKey keeps the planner from scanning a whole table if it can use an index. Plans are cached. Without ByKey, a
	// plan made while a table is small or not yet analyzed would keep scanning the table as it grows.
	ByKey bool `yaml:"by_key"`
	// Pooled: a pooler in transaction mode, such as PgBouncer, is between souk and the server. Then statements are not
	// prepared, and the settings above are those of the role: see [SetForRole].
	Pooled bool `yaml:"pooled"`
	// ApplicationName appears in pg_stat_activity. "" means souk.
	ApplicationName string `yaml:"application_name"`
	// Tracer traces every statement. It may be nil.
	Tracer pgx.QueryTracer `yaml:"-"`
}

// Execer runs statements. It is a pool, a connection or a transaction.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Querier runs statements and queries. It is a pool, a connection or a transaction.
type Querier interface {
	Execer
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// BatchSender sends batches. It is a pool, a connection or a transaction.
type BatchSender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Beginner begins transactions. It is a pool, a connection or a transaction.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

var (
	_ Querier     = (*pgxpool.Pool)(nil)
	_ BatchSender = (*pgxpool.Pool)(nil)
	_ Beginner    = (*pgxpool.Pool)(nil)
	_ Querier     = (pgx.Tx)(nil)
)

// Open opens a pool and pings its server. Sessions run in UTC, times are scanned in UTC, and plans assume disks on
// which random access costs little more than sequential access.
//
// Errors: invalid_argument (the configuration is invalid), unavailable (the server does not answer).
func Open(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	pc, err := cfg.pool()
	if err != nil {
		return nil, err
	}
	pool, err := newPool(ctx, pc)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database %s: %w", pc.ConnConfig.Database, Err(err))
	}
	return pool, nil
}

func newPool(ctx context.Context, pc *pgxpool.Config) (*pgxpool.Pool, error) {
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "the database configuration is wrong")
	}
	return pool, nil
}

// pool returns the configuration of the pool.
func (c Config) pool() (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "the database URL cannot be read")
	}
	pc.MaxConns = or(c.MaxConns, 10)
	pc.MinConns = min(c.MinConns, pc.MaxConns)
	pc.MaxConnLifetime = or(c.MaxConnLifetime, 30*time.Minute)
	pc.MaxConnLifetimeJitter = pc.MaxConnLifetime / 10
	pc.MaxConnIdleTime = 10 * time.Minute
	pc.ConnConfig.ConnectTimeout = or(c.ConnectTimeout, 5*time.Second)
	pc.ConnConfig.Tracer = c.Tracer
	pc.ConnConfig.StatementCacheCapacity = preparedStatements

	params := pc.ConnConfig.RuntimeParams
	params["timezone"] = "UTC"
	params["application_name"] = or(c.ApplicationName, "souk")
	if c.Pooled {
		pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		pc.ConnConfig.DescriptionCacheCapacity = preparedStatements
	} else {
		maps.Copy(params, c.session())
	}
	pc.BeforeConnect = func(ctx context.Context, cc *pgx.ConnConfig) error { return readFiles(ctx, c.URL, cc) }
	pc.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return registerArrays(conn.TypeMap())
	}
	if c.Current != nil {
		follow(pc, c.URL, c.Current)
	}
	return pc, nil
}

// readFiles reads the files for TLS again, before a connection is made. While another process replaces them, a key may
// not fit its certificate for a moment.
func readFiles(ctx context.Context, url string, cc *pgx.ConnConfig) error {
	now, err := pgx.ParseConfig(url)
	for range fileReads - 1 {
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(fileWait):
		}
		now, err = pgx.ParseConfig(url)
	}
	if err != nil {
		return err
	}
	cc.TLSConfig, cc.Fallbacks = now.TLSConfig, now.Fallbacks
	return nil
}

// session returns the settings of a session that a pooler does not pass on.
func (c Config) session() map[string]string {
	seqscan := "on" // a role may have another default, by SetForRole
	if c.ByKey {
		seqscan = "off"
	}
	return map[string]string{
		// The server's default of 4 is meant for spinning disks. With it, statements that read a few rows by key scan
		// and hash tables of hundreds of rows.
		"random_page_cost":  "1.1",
		"jit":               "off", // compiling takes longer than our statements
		"enable_seqscan":    seqscan,
		"statement_timeout": milliseconds(or(c.StatementTimeout, 30*time.Second)),
		"lock_timeout":      milliseconds(or(c.LockTimeout, 10*time.Second)),

		"idle_in_transaction_session_timeout": milliseconds(or(c.IdleInTransactionTimeout, 30*time.Second)),
	}
}

// SetForRole makes the settings of a pooled connection the defaults of its role in its database. It connects to the
// server itself, not to the pooler. Sessions get them when they begin.
//
// Errors: unavailable, and what the server says.
func SetForRole(ctx context.Context, cfg Config) error {
	conn, err := pgx.Connect(ctx, cfg.URL)
	if err != nil {
		return Err(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the statements have been answered
	database := pgx.Identifier{conn.Config().Database}.Sanitize()
	for name, value := range cfg.session() {
		_, err := conn.Exec(ctx, "alter role current_user in database "+database+" set "+name+" = '"+value+"'")
		if err != nil {
			return Err(err)
		}
	}
	return nil
}

// Pooled reports whether a pooler is between a pool and its server: see [Config.Pooled].
func Pooled(pool *pgxpool.Pool) bool {
	return pool.Config().ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheDescribe
}

// fileReads is how often the files for TLS are read, with fileWait in between, before a connection fails.
const (
	fileReads = 5
	fileWait  = 20 * time.Millisecond
)

// preparedStatements is how many prepared statements a connection caches. It exceeds the number that any service
// has, but not by much: pgx allocates the cache in full for every connection.
const preparedStatements = 128

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
