package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/money"
)

// lose deletes an order, as a restore of the database to an earlier moment does.
func (h *harness) lose(orderID string) {
	h.t.Helper()
	for _, sql := range []string{
		`delete from saga where id = $1`, `delete from order_item where order_id = $1`,
		`delete from shop_order where order_id = $1`, `delete from orders where id = $1`,
	} {
		_, err := h.Pool.Exec(h.t.Context(), sql, orderID)
		require.NoError(h.t, err)
	}
}

// undoLost starts the saga that undoes an order, waits for its end, and returns its state.
func (h *harness) undoLost(orderID string) string {
	h.t.Helper()
	sagaID, err := order.UndoLost(h.t.Context(), h.Pool, orderID)
	require.NoError(h.t, err)
	h.waitForSagas()
	return moduletest.Value[string](h.Service, `select state from saga where id = $1`, sagaID)
}

// Orders were lost in a restore, and the other services kept what belonged to them.
func TestLostOrdersAreUndone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	sold := h.confirmedOrder(h.newCustomer()).GetId()
	h.lose(sold)

	held := id.New(id.Order)
	_, err := h.ReserveInventory(t.Context(), &productv1.ReserveInventoryRequest{
		OrderId: held, Lines: []*productv1.Line{{VariantId: "var_a", Quantity: 2}},
	})
	require.NoError(t, err)
	_, err = h.Authorize(t.Context(), &paymentv1.AuthorizeRequest{
		OrderId: held, CustomerId: "usr_1", Amount: money.New(100, "BRL").ToProto(), Method: "card", Token: "tok_ok",
	})
	require.NoError(t, err)

	for _, orderID := range []string{sold, held} {
		require.Equal(t, "done", h.undoLost(orderID))
		require.Equal(t, "done", h.undoLost(orderID), "it may be asked for again")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Equal(t, 1, h.moved["refund"])
	require.Equal(t, "refunded", h.money[sold].GetStatus())
	require.Equal(t, "voided", h.money[held].GetStatus())
	require.Equal(t, "restocked", h.stock[sold])
	require.Equal(t, "released", h.stock[held])
	for _, variantID := range []string{"var_a", "var_b"} {
		require.EqualValues(t, 1_000_000, h.onHand[variantID])
		require.Zero(t, h.reserved[variantID])
	}
}

// An order that is there keeps what belongs to it.
func TestOrderThatIsThereIsNotUndone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	o := h.confirmedOrder(h.newCustomer())
	require.Equal(t, "compensated", h.undoLost(o.GetId()))
	require.Equal(t, 0, h.count(h.moved, "refund"))
	h.requireConsistent()
}
