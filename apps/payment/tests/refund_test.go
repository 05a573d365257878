package tests

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/sandbox"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/money"
)

func TestRefundPaysBackOncePerKey(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	amount := func(minor int64) *money.Money { m := money.New(minor, "BRL"); return &m }
	_, err := h.authorize(r)
	require.NoError(t, err)
	_, err = h.refund(r.OrderID, "early", nil)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	_, err = h.capture(r.OrderID)
	require.NoError(t, err)

	p, err := h.refund(r.OrderID, "a", amount(398))
	require.NoError(t, err)
	require.Equal(t, "partially_refunded", p.GetStatus())
	p, err = h.refund(r.OrderID, "a", amount(398))
	require.NoError(t, err)
	require.Equal(t, "3.98", p.GetRefunded().GetAmount(), "once for each key")
	_, err = h.refund(r.OrderID, "a", amount(399))
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	_, err = h.refund(r.OrderID, "b", amount(5001))
	require.True(t, errs.Is(err, errs.Unprocessable), "%v", err)
	dollars := money.New(1, "USD")
	_, err = h.refund(r.OrderID, "b", &dollars)
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	p, err = h.refund(r.OrderID, "rest", nil)
	require.NoError(t, err)
	require.Equal(t, "refunded", p.GetStatus())
	_, err = h.refund(r.OrderID, "more", nil)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	_, err = h.refund(id.New(id.Order), "none", nil)
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)

	require.Equal(t, books{Status: "captured", Captured: 5398, Refunded: 5398, Entries: 2}, h.books(t, p.GetId()))
	require.Equal(t,
		[]string{"evt.payment.initiated", "evt.payment.completed", "evt.payment.refunded", "evt.payment.refunded"},
		h.Events(p.GetId()))
	h.clean(t)
}

// TestRefusedRefundIsRetried: an operator resumes a parked saga once the cause is gone.
func TestRefusedRefundIsRetried(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	_, err := h.authorize(r)
	require.NoError(t, err)
	p, err := h.capture(r.OrderID)
	require.NoError(t, err)
	refunded := func(minor int64) {
		_, err := h.Pool.Exec(t.Context(), `update sandbox.charge set refunded = $2 where key = $1`, p.GetId(), minor)
		require.NoError(t, err)
	}
	refunded(5398) // at the provider nothing is left to refund
	for range 2 {
		_, err = h.refund(r.OrderID, "a", nil)
		require.True(t, errs.Is(err, errs.Unprocessable), "%v", err)
	}
	refunded(0)
	one := money.New(1, "BRL")
	_, err = h.refund(r.OrderID, "a", &one)
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	for range 2 {
		p, err = h.refund(r.OrderID, "a", nil)
		require.NoError(t, err)
		require.Equal(t, "53.98", p.GetRefunded().GetAmount())
	}
	h.clean(t)
}

func TestConcurrentRefundsNeverExceedTheCapture(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	_, err := h.authorize(r)
	require.NoError(t, err)
	p, err := h.capture(r.OrderID)
	require.NoError(t, err)
	m := money.New(1000, "BRL")
	out := moduletest.Concurrently(40, func(i int) error {
		_, err := h.refund(r.OrderID, string(rune('a'+i%20)), &m) // each key twice
		return err
	})
	require.Len(t, slices.DeleteFunc(slices.Clone(out), func(err error) bool { return err != nil }), 10,
		"five keys, each of them twice: %v", out)
	require.EqualValues(t, 5000, h.books(t, p.GetId()).Refunded)
	h.clean(t)
}

// Shops cancel their parts of an order with cash on delivery before it is delivered: what is left is collected.
func TestCashThatIsNotCollectedIsWaived(t *testing.T) {
	t.Parallel()
	h := setup(t)
	cash := func() domain.Request {
		r := request("")
		r.Method = domain.CashOnDelivery
		_, err := h.authorize(r)
		require.NoError(t, err)
		return r
	}
	amount := func(minor int64) *money.Money { m := money.New(minor, "BRL"); return &m }
	r := cash()
	for range 2 {
		p, err := h.refund(r.OrderID, "a", amount(398))
		require.NoError(t, err)
		require.Equal(t, "authorized", p.GetStatus())
		require.Equal(t, "3.98", p.GetWaived().GetAmount(), "once for each key")
		require.Equal(t, "0.00", p.GetRefunded().GetAmount())
	}
	_, err := h.refund(r.OrderID, "a", amount(399))
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	_, err = h.refund(r.OrderID, "b", amount(5001))
	require.True(t, errs.Is(err, errs.Unprocessable), "%v", err)
	p, err := h.capture(r.OrderID)
	require.NoError(t, err)
	require.Equal(t, "50.00", p.GetCaptured().GetAmount(), "the rest is collected")
	p, err = h.refund(r.OrderID, "a", amount(398))
	require.NoError(t, err)
	require.Equal(t, "0.00", p.GetRefunded().GetAmount(), "a repetition after the capture pays nothing back")
	p, err = h.refund(r.OrderID, "c", nil)
	require.NoError(t, err)
	require.Equal(t, "50.00", p.GetRefunded().GetAmount(), "collected cash is paid back")
	require.Equal(t, "refunded", p.GetStatus())

	r = cash()
	for _, err := range moduletest.Concurrently(10, func(i int) error { // five parts, each of them twice
		_, err := h.refund(r.OrderID, string(rune('a'+i%5)), amount([]int64{1398, 1000, 1000, 1000, 1000}[i%5]))
		return err
	}) {
		require.NoError(t, err)
	}
	p = h.payment(t, r.OrderID)
	require.Equal(t, "voided", p.GetStatus(), "nothing is left to collect")
	require.Equal(t, "53.98", p.GetWaived().GetAmount())
	_, err = h.capture(r.OrderID)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	require.Equal(t, []string{"evt.payment.initiated"}, h.Events(p.GetId()))
	h.clean(t)
}
