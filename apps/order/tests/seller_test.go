package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
)

func (h *harness) shopOrder(a identity.Actor, partID string) (*orderv1.ShopOrder, error) {
	res, err := h.client.GetShopOrder(h.As(a), &orderv1.GetShopOrderRequest{Id: partID})
	return res.GetShopOrder(), err
}

func TestShopSeesWhatItNeedsToReachTheBuyer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	seller := user("seller")
	h.members["shp_1/"+seller.ID] = true
	c, guest := h.newCustomer(), identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	h.fill(guest.ID, h.carts[c.ID]...)
	r := checkoutRequest("tok_ok")
	r.ShippingAddress.Phone, r.Email = "+55 11 91234-5678", "guest@example.com"
	byGuest, err := h.checkout(guest, "k", r)
	require.NoError(t, err)
	byUser := h.confirmedOrder(c)
	for _, o := range []struct {
		order                *orderv1.Order
		email, phone, status string
	}{
		{byGuest, "guest@example.com", "+5511912345678", "confirmed"},
		{byUser, c.ID + "@example.com", "", "confirmed"},
	} {
		p, err := h.shopOrder(seller, o.order.GetShopOrders()[0].GetId())
		require.NoError(t, err)
		require.Equal(t, o.order.GetNumber(), p.GetOrderNumber())
		require.Equal(t, "Ana <script>", p.GetBuyer().GetName())
		require.Equal(t, o.email, p.GetBuyer().GetEmail())
		require.Equal(t, o.phone, p.GetBuyer().GetPhone())
		require.Equal(t, o.status, p.GetStatus())
		require.Equal(t, "card", p.GetPayment().GetMethod())
		require.Len(t, p.GetItems(), 1)
		require.Equal(t, "01310-100", p.GetShippingAddress().GetPostalCode())
	}
	list, err := h.client.ListShopOrders(h.As(seller), &orderv1.ListShopOrdersRequest{ShopId: "shp_1"})
	require.NoError(t, err)
	require.Len(t, list.GetShopOrders(), 2)
	require.Equal(t, 2, h.count(h.asked, "BatchGetUsers"), "one call for the order of a user, and one for the page")
	for i, o := range []*orderv1.Order{byUser, byGuest} {
		one, err := h.shopOrder(seller, o.GetShopOrders()[0].GetId())
		require.NoError(t, err)
		require.Equal(t, one.String(), list.GetShopOrders()[i].String(), "the list and the single one are the same")
	}
	for _, a := range []identity.Actor{user("stranger"), c} {
		_, err = h.shopOrder(a, byUser.GetShopOrders()[0].GetId())
		require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	}
	_, err = h.shopOrder(seller, byUser.GetShopOrders()[1].GetId())
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "another shop's: %v", err)
	require.Nil(t, h.get(c, byUser.GetId()).GetShopOrders()[0].GetBuyer(), "the customer's own view has none")

	h.fill(c.ID, line("var_a", 1))
	_, err = h.checkout(c, "refused", checkoutRequest("tok_declined"))
	require.Error(t, err)
	var refused string
	require.NoError(t, h.Pool.QueryRow(t.Context(),
		`select s.id from shop_order s join orders o on o.id = s.order_id where o.confirmed_at is null`).Scan(&refused))
	_, err = h.shopOrder(seller, refused)
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "a refused checkout: %v", err)
	h.requireConsistent()
}

func TestOwnDeliveryNeedsNoCarrier(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.paidOrder(c)
	ship := func(carrier, tracking string) (*orderv1.ShopOrder, error) {
		res, err := h.client.ShipShopOrder(h.As(operator()), &orderv1.ShipShopOrderRequest{
			Id: o.GetShopOrders()[0].GetId(), Carrier: carrier, TrackingNumber: tracking,
		})
		return res.GetShopOrder(), err
	}
	_, err := ship("", "BR 1")
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
	require.Equal(t, "carrier", errs.From(err).Fields[0].Path)
	for _, wrong := range []struct{ carrier, tracking, path string }{
		{"pay at http://evil.example/x", "BR 1", "carrier"},
		{"Correios\u202e", "", "carrier"},
		{" ", "", "carrier"},
		{"Correios", " ", "trackingNumber"},
		{"Correios", "http://evil.example", "trackingNumber"},
		{"Correios", "BR\n1", "trackingNumber"},
	} {
		_, err = ship(wrong.carrier, wrong.tracking)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%+v: %v", wrong, err)
		require.Equal(t, wrong.path, errs.From(err).Fields[0].Path)
	}
	for range 2 {
		p, err := ship("", "")
		require.NoError(t, err)
		require.Equal(t, "shipped", p.GetStatus())
		require.Empty(t, p.GetCarrier())
	}
	_, err = ship("Correios", "")
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "it was shipped otherwise: %v", err)
	_, err = h.deliver(operator(), o.GetShopOrders()[0].GetId())
	require.NoError(t, err)
	h.requireConsistent()
}
