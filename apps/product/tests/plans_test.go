package tests

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// statement reads one of the repository's statements as PostgreSQL sees it.
func statement(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("..", "internal", "repository")
	if strings.HasSuffix(name, ".sql") {
		b, err := os.ReadFile(filepath.Join(dir, "sql", name))
		require.NoError(t, err)
		return string(b)
	}
	b, err := os.ReadFile(filepath.Join(dir, "queries.sql"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(b), "-- name: "+name+" ")
	require.True(t, found, name)
	_, body, _ := strings.Cut(rest, "\n")
	body, _, _ = strings.Cut(body, "-- name: ")
	return regexp.MustCompile(`@\w+`).ReplaceAllString(strings.TrimSuffix(strings.TrimSpace(body), ";"), "$$1")
}

// checkoutPlans runs each statement of a checkout several times on one connection and returns its plan. It
// fails the test unless PostgreSQL uses one generic plan.
func (h *harness) checkoutPlans(t *testing.T) map[string]string {
	t.Helper()
	ctx := context.Background()
	conn, err := h.Pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	plans := map[string]string{}
	const ids, none = `array['a', 'b']`, `array[]::text[]`
	for name, args := range map[string]string{
		"Offers":                    ids,
		"lock_reservations.sql":     ids,
		"try_reservations.sql":      ids,
		"reservation_lines.sql":     ids,
		"lock_stocks.sql":           ids + "," + ids,
		"try_stocks.sql":            ids + "," + ids,
		"write_stocks.sql":          none + ", array[]::bigint[], array[]::bigint[]",
		"move_reservations.sql":     none + "," + none + "," + none + ", now()",
		"restock_lines.sql":         none + "," + none,
		"add_reservations.sql":      "array[]::text[], array[]::text[], array[]::bytea[], array[]::timestamptz[], now()",
		"add_reservation_lines.sql": "array[]::text[], array[]::text[], array[]::bigint[]",
	} {
		_, err = conn.Exec(ctx, "prepare checkout as "+statement(t, name))
		require.NoError(t, err, name)
		for range 12 {
			_, err = conn.Exec(ctx, "execute checkout ("+args+")", pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err, name)
		}
		var generic, custom int
		require.NoError(
			t,
			conn.QueryRow(ctx,
				`select generic_plans, custom_plans from pg_prepared_statements where name = 'checkout'`).
				Scan(&generic, &custom),
		)
		require.Equal(t, 7, generic, "%s: %d custom plans", name, custom)
		rows, err := conn.Query(ctx, "explain execute checkout ("+args+")", pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plans[name] = strings.Join(plan, "\n")
		_, err = conn.Exec(ctx, "deallocate checkout")
		require.NoError(t, err)
	}
	return plans
}

// Statements of a checkout are planned once and use the primary keys, in a large marketplace and in a new one.
func TestCheckoutStatementsArePlannedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	for name, plan := range h.checkoutPlans(t) {
		require.NotContains(t, plan, "Seq Scan", name)
	}
	for _, sql := range []string{
		`insert into shop_ref (shop_id, handle, name, status, updated_at)
			select 'shp_' || n, 'h' || n, 'Shop', 'active', now() from generate_series(1, 200) n`,
		`insert into product (id, shop_id, handle, title, description, images, tags, status, version,
				created_at, updated_at)
			select 'prd_' || n, 'shp_' || 1 + n % 200, 'h' || n, 'Thing', '', '[]', '{}', 'active', 1, now(), now()
			from generate_series(1, 5000) n`,
		`insert into variant (id, product_id, shop_id, sku, options, price_minor, currency, position)
			select replace(id, 'prd', 'var'), id, shop_id, handle, '{}', 100, 'BRL', 0 from product`,
		`insert into stock (variant_id, on_hand, reserved) select id, 100, 0 from variant`,
		`insert into reservation (order_id, state, request_hash, expires_at, created_at, updated_at)
			select 'ord_' || n, 'committed', '', now(), now(), now() from generate_series(1, 5000) n`,
		`insert into reservation_line (order_id, variant_id, quantity)
			select order_id, replace(order_id, 'ord', 'var'), 1 from reservation`,
		`analyze`,
	} {
		_, err := h.Pool.Exec(ctx, sql)
		require.NoError(t, err)
	}
	for name, plan := range h.checkoutPlans(t) {
		require.NotContains(t, plan, "Seq Scan", name)
	}
}
