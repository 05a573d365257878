package pgtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
	"souk/pkg/migration"
)

// Replicated is a PostgreSQL server of a test's own with a streaming replica.
type Replicated struct {
	// Primary and Replica are the superuser's URLs of the migrated database.
	Primary, Replica string

	t                testing.TB
	primary, replica *devstack.Postgres
}

// NewReplicated starts two servers, which end with the test. The sets are migrated in order.
func NewReplicated(t testing.TB, sets ...migration.Set) *Replicated {
	t.Helper()
	r := &Replicated{t: t}
	r.primary = r.start(nil)
	const name = "replicated"
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	require.NoError(t, exec(ctx, r.primary.AdminURL(), `create database `+name))
	var err error
	r.Primary, err = withDatabase(r.primary.AdminURL(), name)
	require.NoError(t, err)
	require.NoError(t, migration.UpAll(ctx, r.Primary, sets...))
	r.replica = r.start(r.primary)
	r.Replica, err = withDatabase(r.replica.AdminURL(), name)
	require.NoError(t, err)
	return r
}

func (r *Replicated) start(standbyOf *devstack.Postgres) *devstack.Postgres {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Temporary: true, StandbyOf: standbyOf})
	require.NoError(r.t, err)
	r.t.Cleanup(func() { r.stop(p) })
	return p
}

func (r *Replicated) stop(p *devstack.Postgres) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	require.NoError(r.t, p.Stop(ctx))
}

// StopPrimary stops the primary for good.
func (r *Replicated) StopPrimary() { r.stop(r.primary) }

// StopReplica stops the replica for good.
func (r *Replicated) StopReplica() { r.stop(r.replica) }

// OnReplica runs a statement on the replica.
func (r *Replicated) OnReplica(sql string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	require.NoError(r.t, exec(ctx, r.Replica, sql))
}
