package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/payment/internal/sandbox"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
)

// reconcileSince compares all pages of the charges since a time, two charges a page.
func (h *harness) reconcileSince(
	t testing.TB, since time.Time, giveBack bool,
) (compared, applied int32, differences map[string]*paymentv1.ChargeDifference) {
	t.Helper()
	ctx := h.AsUser("usr_operator", "operator")
	req := &paymentv1.ReconcilePaymentsRequest{Since: timestamppb.New(since), GiveBack: giveBack, PageSize: 2}
	differences = map[string]*paymentv1.ChargeDifference{}
	for range 10 {
		res, err := h.gateway.ReconcilePayments(ctx, req)
		require.NoError(t, err)
		compared, applied = compared+res.GetCompared(), applied+res.GetApplied()
		for _, d := range res.GetDifferences() {
			differences[d.GetPaymentId()] = d
		}
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			return compared, applied, differences
		}
	}
	t.Fatal("the pages have no end")
	return 0, 0, nil
}

// The payment service's database was restored to an earlier moment, and the provider is ahead.
func TestProviderIsAheadAfterARestore(t *testing.T) {
	t.Parallel()
	h := setup(t)
	since := time.Now().Add(-time.Minute) // the sandbox's charges have the database's time
	lose := func(paymentID string) {
		_, err := h.Pool.Exec(t.Context(), `delete from payment where id = $1`, paymentID)
		require.NoError(t, err)
	}
	pay := func(capture bool) *paymentv1.Payment {
		r := request(sandbox.TokenOK)
		p, err := h.authorize(r)
		require.NoError(t, err)
		if capture {
			p, err = h.capture(r.OrderID)
			require.NoError(t, err)
		}
		return p
	}
	same := pay(true)
	behind := pay(false)
	_, err := h.sandbox.Capture(t.Context(), behind.GetId())
	require.NoError(t, err)
	refunded := pay(true)
	require.NoError(t, h.sandbox.Refund(t.Context(), refunded.GetId(), "ref_lost", money.New(100, "BRL")))
	lostHeld, lostCaptured, lostPart := pay(false).GetId(), pay(true).GetId(), pay(true).GetId()
	require.NoError(t, h.sandbox.Refund(t.Context(), lostPart, "ref_part", money.New(398, "BRL")))
	declined, err := h.authorize(request(sandbox.TokenDeclined))
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", declined)
	for _, lost := range []string{lostHeld, lostCaptured, lostPart} {
		lose(lost)
	}
	compared, applied, differences := h.reconcileSince(t, since, false)
	require.EqualValues(t, 7, compared)
	require.EqualValues(t, 1, applied)
	require.Len(t, differences, 4)
	require.Equal(t, "captured", h.payment(t, behind.GetOrderId()).GetStatus())
	require.Equal(t, "captured", differences[refunded.GetId()].GetPaymentStatus(), "a refund that souk does not know")
	require.Equal(t, refunded.GetOrderId(), differences[refunded.GetId()].GetOrderId())
	require.Equal(t, "1.00", differences[refunded.GetId()].GetRefunded().GetAmount())
	require.NotContains(t, differences, same.GetId())
	require.Empty(t, differences[lostHeld].GetPaymentStatus())
	require.Equal(t, "authorized", differences[lostHeld].GetChargeStatus())
	require.Equal(t, books{"captured", 5398, 0, 2}, h.books(t, lostCaptured), "nothing was asked to be given back")

	_, _, differences = h.reconcileSince(t, since, true)
	require.True(t, differences[lostCaptured].GetGivenBack())
	require.False(t, differences[refunded.GetId()].GetGivenBack(), "the payment is known: its order decides")
	require.Equal(t, "voided", h.books(t, lostHeld).Status)
	require.EqualValues(t, 5398, h.books(t, lostCaptured).Refunded)
	require.EqualValues(t, 5398, h.books(t, lostPart).Refunded)
	require.EqualValues(t, 0, h.books(t, same.GetId()).Refunded)

	compared, applied, differences = h.reconcileSince(t, since, true)
	require.EqualValues(t, 7, compared)
	require.Zero(t, applied)
	require.Len(t, differences, 1, "what was given back is not given back twice")
	compared, _, _ = h.reconcileSince(t, time.Now().Add(time.Hour), true)
	require.Zero(t, compared)
}

func TestOnlyOperatorsReconcilePayments(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.gateway.ReconcilePayments(h.AsUser("usr_1"),
		&paymentv1.ReconcilePaymentsRequest{Since: timestamppb.New(h.clock.Now())})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err), "%v", err)
	operator := h.AsUser("usr_operator", "operator")
	_, err = h.gateway.ReconcilePayments(operator, &paymentv1.ReconcilePaymentsRequest{})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
	_, err = h.gateway.ReconcilePayments(operator,
		&paymentv1.ReconcilePaymentsRequest{Since: timestamppb.New(h.clock.Now()), PageToken: "else"})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
}
