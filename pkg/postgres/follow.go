package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/errs"
)

// followEvery is the least time between two looks at a pool's URL while connections are taken from it.
const followEvery = time.Second

const targetKey = "souk.target"

// target is as whom a connection is where. A connection to a former one is not used any more.
type target struct {
	host, database, user string
	port                 uint16
}

// follower gives new connections of a pool the URL of now.
type follower struct {
	current func() (string, error)

	mu     sync.Mutex
	looked time.Time
	url    string
	config *pgconn.Config // of url
}

// follow makes the pool follow a URL that changes.
func follow(pc *pgxpool.Config, url string, current func() (string, error)) {
	f := &follower{current: current, url: url, config: &pc.ConnConfig.Config, looked: time.Now()}
	pc.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		url, now, err := f.now(0)
		if err != nil {
			return err
		}
		c.Host, c.Port, c.Database, c.User, c.Password = now.Host, now.Port, now.Database, now.User, now.Password
		return readFiles(ctx, url, c)
	}
	register := pc.AfterConnect
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		c := conn.Config()
		conn.PgConn().CustomData()[targetKey] = targetOf(&c.Config)
		return register(ctx, conn)
	}
	pc.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) {
		_, now, err := f.now(followEvery)
		if err != nil { // the connection has what was valid last
			return true, nil //nolint:nilerr // as above
		}
		return conn.PgConn().CustomData()[targetKey] == targetOf(now), nil
	}
}

func targetOf(c *pgconn.Config) target {
	return target{host: c.Host, port: c.Port, database: c.Database, user: c.User}
}

// now returns the URL of now and its configuration. They are not older than age.
func (f *follower) now(age time.Duration) (string, *pgconn.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.looked) < age {
		return f.url, f.config, nil
	}
	f.looked = now
	url, err := f.current()
	if err != nil || url == f.url {
		return f.url, f.config, err
	}
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return "", nil, errs.Wrap(err, errs.Invalid, "the database URL cannot be read")
	}
	f.url, f.config = url, config
	return url, config, nil
}
