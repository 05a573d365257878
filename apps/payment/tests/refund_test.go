package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/sandbox"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/money"
)

func TestRefund(t *testing.T) {
	t.Parallel()
	k := setup(t)
	r := request(sandbox.TokenOK)
	amount := func(minor int64) *money.Money { m := money.New(minor, "BRL"); return &m }
	_, err := k.svc.Authorize(t.Context(), r)
	require.NoError(t, err)
	_, err = k.svc.Refund(t.Context(), r.OrderID, "early", nil)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	_, err = k.svc.Capture(t.Context(), r.OrderID)
	require.NoError(t, err)

	p, err := k.svc.Refund(t.Context(), r.OrderID, "a", amount(398))
	require.NoError(t, err)
	require.Equal(t, domain.PartiallyRefunded, p.Status)
	p, err = k.svc.Refund(t.Context(), r.OrderID, "a", amount(398))
	require.NoError(t, err)
	require.EqualValues(t, 398, p.Refunded, "once for each key")
	_, err = k.svc.Refund(t.Context(), r.OrderID, "a", amount(399))
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	_, err = k.svc.Refund(t.Context(), r.OrderID, "b", amount(5001))
	require.True(t, errs.Is(err, errs.Unprocessable), "%v", err)
	dollars := money.New(1, "USD")
	_, err = k.svc.Refund(t.Context(), r.OrderID, "b", &dollars)
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	p, err = k.svc.Refund(t.Context(), r.OrderID, "rest", nil)
	require.NoError(t, err)
	require.Equal(t, domain.Refunded, p.Status)
	_, err = k.svc.Refund(t.Context(), r.OrderID, "more", nil)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	_, err = k.svc.Refund(t.Context(), id.New(id.Order), "none", nil)
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)

	require.Equal(t, books{Status: "captured", Captured: 5398, Refunded: 5398, Entries: 2}, k.books(t, p.ID))
	require.Equal(t, []string{"evt.payment.initiated", "evt.payment.completed", "evt.payment.refunded", "evt.payment.refunded"}, k.events(t, p.ID))
	k.clean(t)
}

// TestARefusedRefundIsAskedForAgain: an operator resumes what stands still once the cause is gone.
func TestARefusedRefundIsAskedForAgain(t *testing.T) {
	t.Parallel()
	k := setup(t)
	r := request(sandbox.TokenOK)
	_, err := k.svc.Authorize(t.Context(), r)
	require.NoError(t, err)
	p, err := k.svc.Capture(t.Context(), r.OrderID)
	require.NoError(t, err)
	refunded := func(minor int64) {
		_, err := k.pool.Exec(t.Context(), `update sandbox.charge set refunded = $2 where key = $1`, p.ID, minor)
		require.NoError(t, err)
	}
	refunded(p.Captured) // as the provider has it: there is nothing left
	for range 2 {
		_, err = k.svc.Refund(t.Context(), r.OrderID, "a", nil)
		require.True(t, errs.Is(err, errs.Unprocessable), "%v", err)
	}
	refunded(0)
	one := money.New(1, "BRL")
	_, err = k.svc.Refund(t.Context(), r.OrderID, "a", &one)
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	for range 2 {
		p, err = k.svc.Refund(t.Context(), r.OrderID, "a", nil)
		require.NoError(t, err)
		require.Equal(t, p.Captured, p.Refunded)
	}
	k.clean(t)
}

func TestRefundsAtOnceNeverExceedTheCapture(t *testing.T) {
	t.Parallel()
	k := setup(t)
	r := request(sandbox.TokenOK)
	_, err := k.svc.Authorize(t.Context(), r)
	require.NoError(t, err)
	p, err := k.svc.Capture(t.Context(), r.OrderID)
	require.NoError(t, err)
	m := money.New(1000, "BRL")
	out := together(40, func(i int) error {
		_, err := k.svc.Refund(t.Context(), r.OrderID, string(rune('a'+i%20)), &m) // each key twice
		return err
	})
	require.Equal(t, 10, count(out, nothing), "five keys, each of them twice: %v", out)
	require.EqualValues(t, 5000, k.books(t, p.ID).Refunded)
	k.clean(t)
}
