package tests

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/product"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
)

func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	require.NoError(t, migration.Up(ctx, url, "product", product.Module.Migrations))
	require.NoError(t, migration.Down(ctx, url, "product", product.Module.Migrations))
	require.NoError(t, migration.Up(ctx, url, "product", product.Module.Migrations))
}
