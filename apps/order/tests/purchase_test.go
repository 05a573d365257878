package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
)

// bought returns the shop from which a customer has bought a product, as the comment service asks for it.
func (h *harness) bought(a identity.Actor, productID string) string {
	h.t.Helper()
	res, err := orderv1.NewOrderServiceClient(h.Client("comment")).
		FindPurchase(h.t.Context(), &orderv1.FindPurchaseRequest{CustomerId: a.ID, ProductId: productID})
	require.NoError(h.t, err)
	require.Equal(h.t, res.GetShopId() != "", res.GetPurchased())
	return res.GetShopId()
}

func TestPurchasesAreConfirmedAndNotCancelled(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	_, err := h.checkout(c, "refused", checkoutRequest("tok_declined"))
	require.Error(t, err)
	h.waitForSagas()
	o := h.paidOrder(c)
	a, b := o.GetShopOrders()[0], o.GetShopOrders()[1]
	productA, productB := a.GetItems()[0].GetProductId(), b.GetItems()[0].GetProductId()
	require.NotEqual(t, productA, productB)
	require.Equal(t, a.GetShopId(), h.bought(c, productA))
	require.Equal(t, b.GetShopId(), h.bought(c, productB))
	require.Empty(t, h.bought(c, "prd_other"))
	require.Empty(t, h.bought(h.newCustomer(), productA), "another customer")

	_, err = h.cancel(c, o.GetId(), a.GetId())
	require.NoError(t, err)
	h.waitForSagas()
	require.Empty(t, h.bought(c, productA), "this part was cancelled")
	require.Equal(t, b.GetShopId(), h.bought(c, productB))

	_, err = h.client.FindPurchase(h.As(c), &orderv1.FindPurchaseRequest{CustomerId: c.ID, ProductId: productB})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err), "%v", err)
	h.requireConsistent()
}

func TestRefusedCheckoutIsNoPurchase(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	productID := h.confirmedOrder(c).GetShopOrders()[0].GetItems()[0].GetProductId()
	other := h.newCustomer()
	_, err := h.checkout(other, "refused", checkoutRequest("tok_declined"))
	require.Error(t, err)
	h.waitForSagas()
	require.Empty(t, h.bought(other, productID))
}

func TestAdoptedPurchasesAreTheUsers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	member, guest := user("member"), identity.Actor{Kind: identity.KindGuest, ID: id.New(id.Guest)}
	h.fill(guest.ID, h.carts[h.newCustomer().ID]...)
	r := checkoutRequest("tok_ok")
	r.Email = "ana@example.com"
	o, err := h.checkout(guest, "k", r)
	require.NoError(t, err)
	h.waitForSagas()
	productID := o.GetShopOrders()[0].GetItems()[0].GetProductId()
	require.Empty(t, h.bought(member, productID))
	_, err = h.auth.AdoptOrders(t.Context(), &orderv1.AdoptOrdersRequest{GuestId: guest.ID, UserId: member.ID})
	require.NoError(t, err)
	require.Equal(t, o.GetShopOrders()[0].GetShopId(), h.bought(member, productID))
}
