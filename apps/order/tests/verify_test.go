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
			select 'evt_2', subject, type, aggregate_id, occurred_at, payload from outbox where subject = 'evt.order.created'`,
	} {
		h := setup(t)
		o := h.confirmedOrder(h.newCustomer())
		h.requireConsistent()
		_, err := h.Pool.Exec(t.Context(), damage)
		require.NoError(t, err)
		findings, err := order.Module.Verify(t.Context(), h.Pool)
		require.NoError(t, err)
		var wrong []string
		for _, f := range findings {
			if f.Wrong > 0 {
				wrong = append(wrong, f.Check, f.Example)
			}
		}
		require.Equal(t, []string{"every change of an order appended its event once", o.GetId()}, wrong)
	}
}
