package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/personal"
	"souk/pkg/waittest"
)

// stored returns everything that the service's tables hold, as text.
func (h *harness) stored() string {
	return moduletest.Value[string](h.Service, `
		select string_agg(query_to_xml('select * from ' || quote_ident(tablename), true, false, '')::text, '')
		from pg_tables where schemaname = 'public'`)
}

func TestCustomersAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	r := checkoutRequest("tok_ok")
	r.ShippingAddress.Phone, r.Email = "+5511987654321", "ana.souza@example.com"
	o, err := h.checkout(c, id.New("key"), r)
	require.NoError(t, err)
	require.NotContains(t, h.stored(), "tok_ok", "the token, in the saga")
	h.waitForSagas()

	got, err := h.client.GetOrder(h.As(c), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.NoError(t, err)
	require.Equal(t, "Ana <script>", got.GetOrder().GetShippingAddress().GetName())
	stored := h.stored()
	require.Contains(t, stored, o.GetNumber())
	for _, secret := range []string{"Ana", "Rua 1", "São Paulo", "01310", "987654321", "ana.souza", "example.com"} {
		require.NotContains(t, stored, secret)
	}
}

func TestOrdersOfBeforeAreEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	h.Stop()
	_, err := h.Pool.Exec(t.Context(), `
		update orders set private = null, email = 'ana@example.com',
			shipping_address = '{"Name": "Ana", "Line1": "Rua 7", "CountryCode": "BR"}'`)
	require.NoError(t, err)

	other := h.Another()
	waittest.Until(t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from orders where private is not null`) == 1
	}, "the order is not encrypted")
	require.NotContains(t, h.stored(), "Rua 7")
	got, err := orderv1.NewOrderServiceClient(other.Client("gateway")).
		GetOrder(other.As(c), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.NoError(t, err)
	require.Equal(t, "Rua 7", got.GetOrder().GetShippingAddress().GetLine1())
}

func TestGuestsAreErasedOnceTheirOrderIsDone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	admin := h.AsUser("usr_1", "admin")
	erase := func(orderID string) error {
		_, err := h.client.EraseGuest(admin, &orderv1.EraseGuestRequest{Id: orderID})
		return err
	}
	guest := identity.Actor{Kind: identity.KindGuest, ID: id.New(id.Guest)}
	h.offer("var_a", "shp_1", "10.00", 10)
	h.fill(guest.ID, line("var_a", 1))
	r := checkoutRequest("tok_ok")
	r.Email = "zoe@example.com"
	o, err := h.checkout(guest, id.New("key"), r)
	require.NoError(t, err)
	h.waitForSagas()
	require.ErrorContains(t, erase(o.GetId()), "needs its address")
	h.offer("var_b", "shp_1", "10.00", 10)
	h.fill(guest.ID, line("var_b", 1))
	other, err := h.checkout(guest, id.New("key"), r)
	require.NoError(t, err)
	h.waitForSagas()
	_, err = h.client.CancelOrderAsOperator(
		admin,
		&orderv1.CancelOrderAsOperatorRequest{Id: other.GetId(), Reason: "x"},
	)
	require.NoError(t, err)
	h.waitForSagas()
	require.ErrorContains(t, erase(other.GetId()), "needs its address", "the guest's first order does")
	_, err = h.client.CancelOrderAsOperator(admin, &orderv1.CancelOrderAsOperatorRequest{Id: o.GetId(), Reason: "x"})
	require.NoError(t, err)
	h.waitForSagas()
	require.NoError(t, erase(o.GetId()))
	require.Contains(t, h.Events(o.GetId()), "evt.order.guest_erased")

	_, err = h.auth.AdoptOrders(t.Context(), &orderv1.AdoptOrdersRequest{GuestId: guest.ID, UserId: "usr_7"})
	require.NoError(t, err)
	require.ErrorContains(t, erase(o.GetId()), "erase the user usr_7")
	ofUser := h.confirmedOrder(h.newCustomer())
	require.ErrorContains(t, erase(ofUser.GetId()), "erase the user usr_")
	require.Equal(t, errs.NotFound, errs.CodeOf(erase("ord_none")))
	_, err = h.client.EraseGuest(h.AsUser("usr_1", "operator"), &orderv1.EraseGuestRequest{Id: o.GetId()})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err))
}

func TestOrdersOfErasedPeopleHaveNoAddress(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(time.Now())
	h := setupWith(t, moduletest.Clock(now))
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	h.DestroyKeys(c.ID)
	now.Advance(personal.KeyTTL)
	got, err := h.client.GetOrder(h.As(c), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.NoError(t, err)
	require.Empty(t, got.GetOrder().GetShippingAddress().GetName())
	require.Equal(t, o.GetTotal().GetAmount(), got.GetOrder().GetTotal().GetAmount())
	list, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetOrders(), 1)

	h.fill(c.ID, line("var_a", 1))
	_, err = h.checkout(c, id.New("key"), checkoutRequest("tok_ok"))
	require.ErrorContains(t, err, "was erased")
}

func TestOrdersOfErasedPeopleCanBeCancelled(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(time.Now())
	h := setupWith(t, moduletest.Clock(now))
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	h.DestroyKeys(c.ID)
	now.Advance(personal.KeyTTL)
	_, err := h.client.CancelOrderAsOperator(h.AsUser("usr_1", "admin"),
		&orderv1.CancelOrderAsOperatorRequest{Id: o.GetId(), Reason: "x"})
	require.NoError(t, err)
	h.requireConsistent()
}
