package pgtest

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
)

// Pooler returns the URL of a test's database behind PgBouncer in transaction mode, which has at most conns connections
// to it and ends with the test.
func Pooler(t testing.TB, database string, conns int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	p, err := devstack.StartPgBouncer(ctx, database, conns)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		require.NoError(t, p.Stop(ctx))
	})
	u, err := url.Parse(database)
	require.NoError(t, err)
	return p.URL(strings.TrimPrefix(u.Path, "/"))
}
