package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cartv1 "souk/gen/go/souk/cart/v1"
	"souk/pkg/id"
)

func (h *harness) lines(t testing.TB, owner string) *cartv1.GetLinesResponse {
	t.Helper()
	res, err := h.order.GetLines(t.Context(), &cartv1.GetLinesRequest{OwnerId: owner})
	require.NoError(t, err)
	return res
}

func (h *harness) merge(t testing.TB, guest, user string) {
	t.Helper()
	_, err := h.auth.MergeCart(t.Context(), &cartv1.MergeCartRequest{GuestId: guest, UserId: user})
	require.NoError(t, err)
}

// removeOrdered removes what a checkout read, twice.
func (h *harness) removeOrdered(t testing.TB, owner, orderID string, read *cartv1.GetLinesResponse) {
	t.Helper()
	for range 2 {
		_, err := h.order.RemoveOrdered(t.Context(), &cartv1.RemoveOrderedRequest{
			OwnerId: owner, OrderId: orderID, Lines: read.GetLines(), CartVersion: read.GetVersion(),
		})
		require.NoError(t, err)
	}
}

// A guest signs in while a checkout of the guest's cart is in flight.
func TestItemsOrderedByAGuestLeaveTheUsersCartOnce(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]bool{"": false, "with Redis lost after the merge": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			user, uid := h.user()
			guest, gid := h.guest()
			tea, cup := h.catalogue.sell(brl(1), 10), h.catalogue.sell(brl(1), 10)
			h.add(t, guest, tea, 2)
			h.add(t, guest, cup, 1)
			read := h.lines(t, gid)
			h.add(t, user, tea, 3)
			h.clock.Advance(time.Second)
			h.merge(t, gid, uid)
			if lose {
				h.lose(t, uid)
				h.lose(t, gid)
			}
			h.add(t, guest, tea, 5) // with the guest's token, in another tab
			h.removeOrdered(t, gid, id.New(id.Order), read)
			require.Equal(t, map[string]int64{tea: 3}, quantities(h.get(t, user)))
			require.Equal(t, map[string]int64{tea: 5}, quantities(h.get(t, guest)))

			// The next checkout of the guest orders the guest's own cart.
			h.removeOrdered(t, gid, id.New(id.Order), h.lines(t, gid))
			require.Equal(t, map[string]int64{tea: 3}, quantities(h.get(t, user)))
			require.Empty(t, h.get(t, guest).GetItems())
		})
	}
}

// The answer to the first removal was lost, and the guest has signed in before the second one.
func TestItemsThatLeftAGuestsCartDoNotLeaveTheUsersCart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	user, uid := h.user()
	guest, gid := h.guest()
	tea := h.catalogue.sell(brl(1), 10)
	h.add(t, guest, tea, 2)
	read := h.lines(t, gid)
	h.add(t, guest, tea, 1)
	orderID := id.New(id.Order)
	h.removeOrdered(t, gid, orderID, read)
	h.merge(t, gid, uid)
	h.removeOrdered(t, gid, orderID, read)
	require.Equal(t, map[string]int64{tea: 1}, quantities(h.get(t, user)))
	require.Equal(t, []string{orderID}, h.lines(t, uid).GetOrderedIds())
}

func TestGetLinesShowWhatACheckoutClaims(t *testing.T) {
	t.Parallel()
	h := setup(t)
	user, uid := h.user()
	empty := h.lines(t, uid)
	require.Empty(t, empty.GetLines())
	require.Empty(t, empty.GetCurrency())
	require.Equal(t, []string{uid}, empty.GetOwnerIds())

	tea := h.catalogue.sell(brl(1), 10)
	want := []string{uid}
	for range 17 {
		guest, gid := h.guest()
		h.add(t, guest, tea, 1)
		h.clock.Advance(time.Second)
		h.merge(t, gid, uid)
		want = append([]string{uid, gid}, want[1:]...)
	}
	_, err := h.client.ClearCart(user, &cartv1.ClearCartRequest{})
	require.NoError(t, err)
	h.add(t, user, tea, 1)
	h.drain(t, true)
	for range 2 {
		got := h.lines(t, uid)
		require.Equal(t, "BRL", got.GetCurrency())
		require.Equal(t, want[:17], got.GetOwnerIds(), "the latest 16 merges")
		h.lose(t, uid)
	}

	var orders []string
	for range 10 {
		orders = append([]string{id.New(id.Order)}, orders...)
		h.clock.Advance(time.Second)
		h.removeOrdered(t, uid, orders[0], h.lines(t, uid))
	}
	require.Equal(t, orders[:8], h.lines(t, uid).GetOrderedIds(), "latest first")
	h.clock.Advance(24 * time.Hour)
	require.Equal(t, []string{uid}, h.lines(t, uid).GetOwnerIds(), "a day after the merges")
}
