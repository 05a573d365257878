package e2e

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

// TestDatabasesRestoredToDifferentMoments: the order service's database was restored to an earlier moment than those of
// the other services. It does not know two orders. Of one of them the payment service's database does not know the
// payment either, but the payment provider does.
func TestDatabasesRestoredToDifferentMoments(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil)
	shop := handle("restored")
	seller := s.seller(shop)
	v := seller.sell(shop, "Atlas", "10.00", 50).Variants[0].ID
	moment := time.Now().UTC().Format(time.RFC3339)
	buy := func(quantity int) string {
		c := s.user(email("ana"), "customer")
		c.add(v, quantity).want(200)
		return c.checkout("tok_ok").order().ID
	}
	kept, lost, unknown := buy(1), buy(2), buy(4)
	require.NotEmpty(t, kept)
	waittest.Until(t, func() bool { _, _, status := s.command("verify"); return status == 0 }, "souk is not consistent")

	databases := s.access().Databases
	for _, sql := range []string{
		`delete from saga where id = any ($1)`, `delete from order_item where order_id = any ($1)`,
		`delete from shop_order where order_id = any ($1)`, `delete from cart_claim where order_id = any ($1)`,
		`delete from orders where id = any ($1)`, `delete from outbox where aggregate_id = any ($1)`,
	} {
		change(t, databases["order"], sql, []string{lost, unknown})
	}
	change(t, databases["payment"], `delete from payment where order_id = any ($1)`, []string{unknown})
	s.must("projections", "rebuild", "order.sales") // a restore brings it back to the same moment

	out, errOut, status := s.command("verify", "--after-restore", moment, "--settle", "100ms")
	require.Equal(t, 1, status, out+errOut)
	require.Contains(t, out, "lost orders: 2")
	require.Contains(t, out, "charges without a payment: 1")
	require.Contains(t, out, "--repair")
	require.Equal(t, "43", seller.stock(shop, v).OnHand, "without --repair nothing is given back")

	out = s.must("verify", "--after-restore", moment, "--settle", "100ms", "--repair")
	require.Contains(t, out, "it has no payment: given back")
	require.Equal(t, "49", seller.stockWithoutReservations(shop, v).OnHand)
	out = s.must("verify", "--after-restore", moment, "--settle", "100ms", "--repair")
	require.Contains(t, out, "charges without a payment: 0", "it may run again")
	s.verify()

	for _, args := range [][]string{
		{"verify", "--after-restore", "yesterday"}, {"verify", "--repair"},
		{"verify", "--after-restore", moment, "--url", "http://127.0.0.1:1"},
		{"verify", "--after-restore", moment, "--json"},
	} {
		_, errOut, status := s.command(args...)
		require.Equal(t, 1, status, args)
		require.NotEmpty(t, errOut, args)
	}
}

// change runs a statement on a service's database.
func change(t *testing.T, url, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}
