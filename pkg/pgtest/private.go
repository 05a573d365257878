package pgtest

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
)

// server is the server that this test process has started. No test owns it, so its guard stops it when the
// process ends.
var server struct {
	mu       sync.Mutex
	postgres *devstack.Postgres
}

func private(t testing.TB) string {
	t.Helper()
	server.mu.Lock()
	defer server.mu.Unlock()
	if server.postgres == nil {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Temporary: true})
		require.NoError(t, err)
		server.postgres = p
	}
	return server.postgres.AdminURL()
}
