package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
	"souk/apps/product"
	"souk/apps/voucher"
	"souk/cmd/souk/internal/verify"
	"souk/pkg/pgtest"
)

// An order is lost if the order service does not know it, and others keep something for it.
func TestLostOrdersAreNamed(t *testing.T) {
	t.Parallel()
	h := fill(t, &harness{
		order:   pgtest.New(t, order.Module.Sets()...),
		payment: pgtest.New(t, paymentSets()...),
		product: pgtest.New(t, product.Module.Sets()...),
		voucher: pgtest.New(t, voucher.Module.Sets()...),
	})
	for _, table := range []string{"order_item where order_id", "shop_order where order_id", "orders where id"} {
		h.exec(t, h.order, `delete from `+table+` in ('ord_card', 'ord_cash', 'ord_back', 'ord_none')`)
	}
	h.exec(t, h.payment, `update payment set captured = 599 where order_id = 'ord_part'`) // wrong, but there
	report, err := verify.Run(t.Context(), h.sources)
	require.NoError(t, err)
	require.Equal(t, []string{"ord_back", "ord_card", "ord_cash"}, report.LostOrders,
		"ord_back has redeemed vouchers; of ord_none everything was given back")
	require.Positive(t, report.Broken())
}
