package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// statement returns a statement of queries.sql as sqlc generated it.
func statement(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "internal", "repository", "sqlc", "queries.sql.go"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(b), "-- name: "+name+" ")
	require.True(t, found, name)
	_, body, _ := strings.Cut(rest, "\n")
	body, _, _ = strings.Cut(body, "`")
	return body
}

// Every checkout reads its customer's standing, every review asks for a purchase, and a chore looks for expired orders
// all the time. Each must read a few rows by an index, however many orders there are.
func TestLimitsAreReadByIndexes(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := t.Context()
	conn, err := h.Pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	for _, sql := range []string{
		`insert into orders (id, number, customer_id, idem_key, request_hash, status, currency, subtotal,
			discount, shipping, tax, total, payment_method, email, shipping_address, placed_at, updated_at, expires_at)
		select 'ord_' || n, n, 'usr_' || n % 5000, n, '', 'confirmed', 'BRL', 1, 0, 0, 0, 1, 'card', '', '{}', now(),
			now(), case when n % 1000 = 0 then now() end from generate_series(1, 20000) n`,
		`insert into shop_order (id, order_id, position, shop_id, shop_name, status, subtotal, discount, shipping, tax,
			total, placed_at)
		select 'sho_' || n, 'ord_' || n, 0, 'shp', '', 'confirmed', 1, 0, 0, 0, 1, now()
		from generate_series(1, 20000) n`,
		`insert into order_item (order_id, position, shop_order_id, variant_id, product_id, title, sku, options,
			quantity, unit_price, line_total)
		select 'ord_' || n, 0, 'sho_' || n, 'var', 'prd_' || n % 100, '', '', '{}', 1, 1, 1
		from generate_series(1, 20000) n`,
		`insert into guest_cancel select sha256(n::text::bytea), 'ord_' || n, now() from generate_series(1, 20000) n`,
		`analyze orders, shop_order, order_item, guest_cancel`,
		`set plan_cache_mode = force_generic_plan`,
	} {
		_, err = conn.Exec(ctx, sql)
		require.NoError(t, err)
	}
	for name, c := range map[string]struct{ index, args string }{
		"Standings": {
			"orders_history",
			"now(), array['usr_1', 'usr_2'], array['', '\\x01']::bytea[], now() - interval '30 days'",
		},
		"Expired":      {"orders_expiry", "now(), 100"},
		"FindPurchase": {"orders_history", "'usr_1', 'prd_1'"},
	} {
		_, err = conn.Exec(ctx, "prepare limits as "+statement(t, name), pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
		rows, err := conn.Query(ctx, "explain execute limits ("+c.args+")", pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		require.Contains(t, plan, c.index, plan)
		require.NotContains(t, plan, "Seq Scan on", plan)
		_, err = conn.Exec(ctx, "deallocate limits")
		require.NoError(t, err)
	}
	_, err = conn.Exec(ctx, `reset plan_cache_mode`)
	require.NoError(t, err)
}
