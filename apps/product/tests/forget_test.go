package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
)

func (h *harness) states() []string {
	h.t.Helper()
	return moduletest.Value[[]string](h.Service, `select array_agg(state order by state) from reservation`)
}

func TestOldReservationsAreDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	variantID := h.variant(100)
	orders := map[string]string{}
	for _, state := range []string{"held", "released", "expired", "committed", "restocked", "tombstone"} {
		orderID := id.New(id.Order)
		orders[state] = orderID
		if state != "tombstone" {
			require.NoError(t, h.reserve(orderID, line(variantID, 1)))
		}
		switch state {
		case "released", "tombstone":
			require.NoError(t, h.release(orderID))
		case "restocked":
			require.NoError(t, h.commit(orderID))
			require.NoError(t, h.restock(orderID))
		case "committed":
			require.NoError(t, h.commit(orderID))
		case "expired":
			h.clock.Advance(2 * time.Minute)
			require.NoError(t, h.commit(orders["held"])) // so that only this one expires
			_, err := h.store.Sweep(t.Context(), 10)
			require.NoError(t, err)
		}
	}
	onHand, reserved := h.stock(variantID)
	require.EqualValues(t, 98, onHand)
	require.Zero(t, reserved)

	forget := func() int {
		n, err := h.store.Forget(t.Context(), h.clock.Now().Add(-30*24*time.Hour), 2)
		require.NoError(t, err)
		return n
	}
	h.clock.Advance(30*24*time.Hour - 2*time.Minute)
	require.Zero(t, forget())
	require.Len(t, h.states(), 6)

	young := id.New(id.Order)
	require.NoError(t, h.release(young))
	h.clock.Advance(3 * time.Minute)
	require.Equal(t, 2, forget())
	require.Equal(t, 1, forget())
	require.Zero(t, forget())
	require.Equal(t, []string{"committed", "committed", "expired", "tombstone"}, h.states())
	require.Equal(t, 3, moduletest.Value[int](h.Service, `select count(*) from reservation_line`))

	// Calls for deleted reservations do no harm.
	require.NoError(t, h.release(orders["released"]))
	require.Equal(t, errs.NotFound, errs.CodeOf(h.commit(orders["restocked"])))
	require.Equal(t, errs.NotFound, errs.CodeOf(h.restock(orders["restocked"])))
	require.Equal(t, errs.Conflict, errs.CodeOf(h.reserve(orders["released"], line(variantID, 1))))
	// A sale can be restocked at any time, and a resumed checkout can still commit its expired reservation.
	require.NoError(t, h.restock(orders["committed"]))
	require.NoError(t, h.commit(orders["expired"]))
	onHand, reserved = h.stock(variantID)
	require.EqualValues(t, 98, onHand)
	require.Zero(t, reserved)
}
