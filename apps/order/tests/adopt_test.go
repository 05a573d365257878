package tests

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
)

// Adopt transfers all orders, including those whose keys the user has also used. It can be repeated, also after it
// failed halfway.
func TestAdoptTransfersAGuestsOrders(t *testing.T) {
	t.Parallel()
	h := setup(t)
	member := user("member")
	cart := h.carts[h.newCustomer().ID]
	guest := identity.Actor{Kind: identity.KindGuest, ID: id.New(id.Guest)}
	other := identity.Actor{Kind: identity.KindGuest, ID: id.New(id.Guest)}
	place := func(a identity.Actor, key string) string {
		h.fill(a.ID, cart...)
		r := checkoutRequest("tok_ok")
		r.Email = "ana@example.com"
		o, err := h.checkout(a, key, r)
		require.NoError(t, err)
		h.waitForSagas()
		return o.GetId()
	}
	theirs := []string{place(member, "same"), place(guest, "same"), place(guest, "more")}
	stays := place(other, "same")
	r := checkoutRequest("tok_ok")
	r.Email = "ana@example.com"
	_, err := h.checkout(guest, "refused", r)
	require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)

	adopt := func() error {
		_, err := h.auth.AdoptOrders(t.Context(), &orderv1.AdoptOrdersRequest{GuestId: guest.ID, UserId: member.ID})
		return err
	}
	h.fail["AdoptPayments"] = slices.Repeat([]error{errs.New(errs.Unavailable, "away")},
		9) // three calls, three attempts each
	require.Equal(t, errs.Unavailable, errs.CodeOf(adopt()))
	require.Empty(t, h.fail["AdoptPayments"])
	ids := func(a identity.Actor) (out []string) {
		res, err := h.client.ListOrders(h.As(a), &orderv1.ListOrdersRequest{})
		require.NoError(t, err)
		for _, o := range res.GetOrders() {
			out = append(out, o.GetId())
		}
		return out
	}
	require.Len(t, ids(guest), 2)
	for range 2 {
		require.NoError(t, adopt())
		require.ElementsMatch(t, theirs, ids(member))
		require.Empty(t, ids(guest))
	}
	require.Equal(t, []string{stays}, ids(other))
	for _, orderID := range theirs[1:] {
		require.Equal(t, 1, h.count(h.moved, "adopt "+orderID+" from "+guest.ID+" to "+member.ID))
	}
	h.fill(guest.ID)
	for i, key := range []string{"same", "more"} { // the guest did not get the first answer
		again, err := h.checkout(guest, key, r)
		require.NoError(t, err)
		require.Equal(t, theirs[1+i], again.GetId())
	}
	_, err = h.checkout(guest, "same", checkoutRequest("tok_slow"))
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "a guest's email is required: %v", err)
	changed := checkoutRequest("tok_slow")
	changed.Email = r.GetEmail()
	_, err = h.checkout(guest, "same", changed)
	require.Equal(t, errs.IdempotencyMismatch, errs.CodeOf(err), "%v", err)
	_, err = h.checkout(guest, "new", r)
	require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	_, err = h.client.GetOrder(h.As(guest), &orderv1.GetOrderRequest{Id: theirs[1]})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = h.client.CancelOrder(h.As(member), &orderv1.CancelOrderRequest{Id: theirs[1]})
	require.NoError(t, err)
	h.waitForSagas()

	_, err = h.client.AdoptOrders(h.As(member), &orderv1.AdoptOrdersRequest{GuestId: other.ID, UserId: member.ID})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err), "%v", err)
	h.requireConsistent()
}
