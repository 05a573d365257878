package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

// roleURL makes a role that may sign in with a password, and returns the URL with which it does.
func roleURL(t *testing.T, server, password string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	role := "r_" + strings.ReplaceAll(id.New(id.Event), "-", "_")
	_, err = conn.Exec(t.Context(), `create role "`+role+`" login password '`+password+`'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), server)
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close(context.Background())) }()
		_, err = conn.Exec(context.Background(), `drop role "`+role+`"`)
		require.NoError(t, err)
	})
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.User = url.UserPassword(role, password)
	return u.String()
}

// TestPoolFollowsItsURL gives a pool credentials of one role after another, as Vault makes them. Connections of the
// former role are not used any more, and what is in flight ends as it began.
func TestPoolFollowsItsURL(t *testing.T) {
	t.Parallel()
	server := pgtest.URL(t)
	first, second := roleURL(t, server, "one"), roleURL(t, server, "two")
	var now atomic.Value
	now.Store(first)
	pool, err := postgres.Open(t.Context(), postgres.Config{
		URL: first, MaxConns: 2, Current: func() (string, error) { return now.Load().(string), nil },
	})
	require.NoError(t, err)
	defer pool.Close()
	user := func(db postgres.Querier) (name string) {
		require.NoError(t, db.QueryRow(t.Context(), "select session_user").Scan(&name))
		return name
	}
	name := func(u string) string {
		parsed, err := url.Parse(u)
		require.NoError(t, err)
		return parsed.User.Username()
	}
	require.Equal(t, name(first), user(pool))
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	now.Store(second)
	waittest.Until(t, func() bool { return user(pool) == name(second) }, "connections are still the former role's")
	require.Equal(t, name(first), user(tx), "the transaction keeps its connection")
	require.NoError(t, tx.Commit(t.Context()))
	for range 5 {
		require.Equal(t, name(second), user(pool))
	}
}
