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

func TestRefundPaysBackOncePerKey(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	amount := func(minor int64) *money.Money { m := money.New(minor, "BRL"); return &m }
	_, err := h.svc.Authorize(t.Context(), r)
	require.NoError(t, err)
	_, err = h.svc.Refund(t.Context(), r.OrderID, "early", nil)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	_, err = h.svc.Capture(t.Context(), r.OrderID)
	require.NoError(t, err)

	p, err := h.svc.Refund(t.Context(), r.OrderID, "a", amount(398))
	require.NoError(t, err)
	require.Equal(t, domain.PartiallyRefunded, p.Status)
	p, err = h.svc.Refund(t.Context(), r.OrderID, "a", amount(398))
	require.NoError(t, err)
	require.EqualValues(t, 398, p.Refunded, "once for each key")
	_, err = h.svc.Refund(t.Context(), r.OrderID, "a", amount(399))
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	_, err = h.svc.Refund(t.Context(), r.OrderID, "b", amount(5001))
	require.True(t, errs.Is(err, errs.Unprocessable), "%v", err)
	dollars := money.New(1, "USD")
	_, err = h.svc.Refund(t.Context(), r.OrderID, "b", &dollars)
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	p, err = h.svc.Refund(t.Context(), r.OrderID, "rest", nil)
	require.NoError(t, err)
	require.Equal(t, domain.Refunded, p.Status)
	_, err = h.svc.Refund(t.Context(), r.OrderID, "more", nil)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	_, err = h.svc.Refund(t.Context(), id.New(id.Order), "none", nil)
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)

	require.Equal(t, books{Status: "captured", Captured: 5398, Refunded: 5398, Entries: 2}, h.books(t, p.ID))
	require.Equal(
		t,
		[]string{"evt.payment.initiated", "evt.payment.completed", "evt.payment.refunded", "evt.payment.refunded"},
		h.events(t, p.ID),
	)
	h.clean(t)
}

// TestRefusedRefundIsRetried: an operator resumes a parked saga once the cause is gone.
func TestRefusedRefundIsRetried(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	_, err := h.svc.Authorize(t.Context(), r)
	require.NoError(t, err)
	p, err := h.svc.Capture(t.Context(), r.OrderID)
	require.NoError(t, err)
	refunded := func(minor int64) {
		_, err := h.pool.Exec(t.Context(), `update sandbox.charge set refunded = $2 where key = $1`, p.ID, minor)
		require.NoError(t, err)
	}
	refunded(p.Captured) // at the provider nothing is left to refund
	for range 2 {
		_, err = h.svc.Refund(t.Context(), r.OrderID, "a", nil)
		require.True(t, errs.Is(err, errs.Unprocessable), "%v", err)
	}
	refunded(0)
	one := money.New(1, "BRL")
	_, err = h.svc.Refund(t.Context(), r.OrderID, "a", &one)
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	for range 2 {
		p, err = h.svc.Refund(t.Context(), r.OrderID, "a", nil)
		require.NoError(t, err)
		require.Equal(t, p.Captured, p.Refunded)
	}
	h.clean(t)
}

func TestConcurrentRefundsNeverExceedTheCapture(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	_, err := h.svc.Authorize(t.Context(), r)
	require.NoError(t, err)
	p, err := h.svc.Capture(t.Context(), r.OrderID)
	require.NoError(t, err)
	m := money.New(1000, "BRL")
	out := concurrently(40, func(i int) error {
		_, err := h.svc.Refund(t.Context(), r.OrderID, string(rune('a'+i%20)), &m) // each key twice
		return err
	})
	require.Equal(t, 10, count(out, succeeded), "five keys, each of them twice: %v", out)
	require.EqualValues(t, 5000, h.books(t, p.ID).Refunded)
	h.clean(t)
}
