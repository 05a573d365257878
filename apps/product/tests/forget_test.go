package tests

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/id"
)

func (b *bundle) states() []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `select state from reservation order by state`)
	require.NoError(b.t, err)
	states, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(b.t, err)
	return states
}

func TestOldReservationsAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	variantID := b.variant(100)
	orders := map[string]string{}
	for _, state := range []string{"held", "released", "expired", "committed", "restocked", "tombstone"} {
		orderID := id.New(id.Order)
		orders[state] = orderID
		if state != "tombstone" {
			require.NoError(t, b.reserve(orderID, line(variantID, 1)))
		}
		switch state {
		case "released", "tombstone":
			require.NoError(t, b.release(orderID))
		case "restocked":
			require.NoError(t, b.commit(orderID))
			require.NoError(t, b.restock(orderID))
		case "committed":
			require.NoError(t, b.commit(orderID))
		case "expired":
			b.clock.Advance(2 * time.Minute)
			require.NoError(t, b.commit(orders["held"])) // only this one lapses
			_, err := b.store.Sweep(t.Context(), 10)
			require.NoError(t, err)
		}
	}
	onHand, reserved := b.stock(variantID)
	require.EqualValues(t, 98, onHand)
	require.Zero(t, reserved)

	forget := func() int {
		n, err := b.store.Forget(t.Context(), b.clock.Now().Add(-30*24*time.Hour), 2)
		require.NoError(t, err)
		return n
	}
	b.clock.Advance(30*24*time.Hour - 2*time.Minute)
	require.Zero(t, forget())
	require.Len(t, b.states(), 6)

	young := id.New(id.Order)
	require.NoError(t, b.release(young))
	b.clock.Advance(3 * time.Minute)
	require.Equal(t, 2, forget())
	require.Equal(t, 1, forget())
	require.Zero(t, forget())
	require.Equal(t, []string{"committed", "committed", "expired", "tombstone"}, b.states())
	var lines int
	require.NoError(t, b.pool.QueryRow(t.Context(), `select count(*) from reservation_line`).Scan(&lines))
	require.Equal(t, 3, lines)

	// Calls that come after all do no harm.
	require.NoError(t, b.release(orders["released"]))
	require.Equal(t, errs.NotFound, errs.CodeOf(b.commit(orders["restocked"])))
	require.Equal(t, errs.NotFound, errs.CodeOf(b.restock(orders["restocked"])))
	require.Equal(t, errs.Conflict, errs.CodeOf(b.reserve(orders["released"], line(variantID, 1))))
	// A sale can be taken back however late, and what has expired is still sold to the checkout that comes back.
	require.NoError(t, b.restock(orders["committed"]))
	require.NoError(t, b.commit(orders["expired"]))
	onHand, reserved = b.stock(variantID)
	require.EqualValues(t, 98, onHand)
	require.Zero(t, reserved)
}
