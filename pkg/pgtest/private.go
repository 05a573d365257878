package pgtest

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
)

// server is the one that this test process has started for itself. It has no owner who could stop it, so its
// guard does when the process ends.
var server struct {
	mu       sync.Mutex
	postgres *devstack.Postgres
}

func private(t testing.TB) string {
	t.Helper()
	server.mu.Lock()
	defer server.mu.Unlock()
	if server.postgres == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Temporary: true})
		require.NoError(t, err)
		server.postgres = p
	}
	return server.postgres.AdminURL()
}
