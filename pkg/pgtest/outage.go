package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Outage returns functions that begin and end an outage of the test's database. begin ends all of its sessions and
// refuses new ones. Both may be called on any goroutine.
func Outage(t testing.TB, pool *pgxpool.Pool) (begin, end func()) {
	t.Helper()
	server, name := Server(t), pool.Config().ConnConfig.Database // a name that needs no quotes
	run := func(sql string) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := exec(ctx, server, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	begin = func() {
		run(`alter database ` + name + ` allow_connections false`)
		run(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '` + name + `'`)
	}
	return begin, func() { run(`alter database ` + name + ` allow_connections true`) }
}
