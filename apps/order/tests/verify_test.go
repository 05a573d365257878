package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
)

func TestVerifyFindsEventsThatAreMissingOrAppendedTwice(t *testing.T) {
	t.Parallel()
	for _, damage := range []string{
		`delete from outbox where subject = 'evt.order.confirmed'`,
		`insert into outbox (id, subject, type, aggregate_id, occurred_at, payload)
			select 'evt_2', subject, type, aggregate_id, occurred_at, payload
			from outbox where subject = 'evt.order.created'`,
	} {
		h := setup(t)
		o := h.confirmedOrder(h.newCustomer())
		h.requireConsistent()
		_, err := h.Pool.Exec(t.Context(), damage)
		require.NoError(t, err)
		require.Equal(
			t,
			map[string]string{"every change of an order appended its event once": o.GetId()},
			h.violations(),
		)
	}
}

func TestVerifyFindsACartThatWasOrderedTwice(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	first := h.confirmedOrder(c)
	h.fill(c.ID, line("var_a", 1))
	second := h.confirmedOrder(c)
	h.requireConsistent()
	_, err := h.Pool.Exec(t.Context(), `update orders set cart_version = o.cart_version from orders o
		where orders.id = $1 and o.id = $2`, second.GetId(), first.GetId())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"no cart was ordered twice": first.GetId()}, h.violations())
}

// violations returns the checks that find a violation, each with an example.
func (h *harness) violations() map[string]string {
	h.t.Helper()
	findings, err := order.Module.Verify(h.t.Context(), h.Pool)
	require.NoError(h.t, err)
	out := map[string]string{}
	for _, f := range findings {
		if f.Wrong > 0 {
			out[f.Check] = f.Example
		}
	}
	return out
}
