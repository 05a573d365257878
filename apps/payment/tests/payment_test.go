package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/sandbox"
	"souk/apps/payment/internal/service"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/waittest"
)

func TestAuthorizeAndCapture(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	p, err := h.authorize(r)
	require.NoError(t, err)
	require.Equal(t, "authorized", p.GetStatus())
	repeated, err := h.authorize(r)
	require.NoError(t, err)
	require.Equal(t, p.GetId(), repeated.GetId())

	p, err = h.capture(r.OrderID)
	require.NoError(t, err)
	require.Equal(t, "captured", p.GetStatus())
	require.Equal(t, "53.98", p.GetCaptured().GetAmount())
	_, err = h.capture(r.OrderID)
	require.NoError(t, err)
	_, err = h.void(r.OrderID)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)

	require.Equal(t, books{Status: "captured", Captured: 5398, Entries: 2}, h.books(t, p.GetId()))
	require.Equal(t, []string{"evt.payment.initiated", "evt.payment.completed"}, h.Events(p.GetId()))
	h.clean(t)
}

func TestTokenDecidesTheOutcome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		token  string
		status domain.Status
		reason string
		// attempts are the error codes of the first attempt, the second, and so on.
		attempts []errs.Code
		waits    []time.Duration
	}{
		{token: sandbox.TokenOK, status: domain.Authorized, attempts: []errs.Code{""}},
		{
			token: sandbox.TokenDeclined, status: domain.Failed, reason: "declined",
			attempts: []errs.Code{errs.PaymentDeclined, errs.PaymentDeclined},
		},
		{
			token: sandbox.TokenInsufficientFunds, status: domain.Failed, reason: "insufficient_funds",
			attempts: []errs.Code{errs.PaymentDeclined},
		},
		{
			token: "tok_unknown", status: domain.Failed, reason: "invalid_token",
			attempts: []errs.Code{errs.PaymentDeclined},
		},
		{
			token: sandbox.TokenTimeoutThenOK, status: domain.Authorized, attempts: []errs.Code{errs.Timeout, "", ""},
			waits: []time.Duration{time.Second},
		},
		{token: sandbox.TokenErrorThenOK, status: domain.Authorized, attempts: []errs.Code{errs.Unavailable, ""}},
		{
			token: sandbox.TokenSlow, status: domain.Authorized, attempts: []errs.Code{""},
			waits: []time.Duration{3 * time.Second},
		},
	} {
		for _, method := range []domain.Method{domain.Card, domain.Wallet, domain.BankTransfer} {
			t.Run(c.token+"/"+string(method), func(t *testing.T) {
				t.Parallel()
				h := setup(t)
				r := request(c.token)
				r.Method = method
				for i, want := range c.attempts {
					_, err := h.svc.Authorize(t.Context(), r)
					require.Equal(t, want, errs.CodeOf(err), "attempt %d: %v", i+1, err)
				}
				p := h.payment(t, r.OrderID)
				require.Equal(t, string(c.status), p.GetStatus())
				require.Equal(t, c.reason, p.GetFailureReason())
				require.Equal(t, c.waits, h.timers.waited())
				if c.status == domain.Authorized {
					for range 2 {
						_, err := h.capture(r.OrderID)
						require.NoError(t, err)
					}
					paid := books{Status: "captured", Captured: 5398, Entries: 2}
					require.Equal(t, paid, h.books(t, p.GetId()), "paid exactly once")
				} else {
					require.Equal(t, []string{"evt.payment.initiated", "evt.payment.failed"}, h.Events(p.GetId()))
				}
				h.clean(t)
			})
		}
	}
}

// loseAuthorization loses the provider's answer to an authorization.
type loseAuthorization struct{ service.Provider }

func (l loseAuthorization) Authorize(
	ctx context.Context, paymentID, token string, amount money.Money,
) (domain.Charge, error) {
	if _, err := l.Provider.Authorize(ctx, paymentID, token, amount); err != nil {
		return domain.Charge{}, err
	}
	return domain.Charge{}, errs.New(errs.Timeout, "the answer was lost")
}

// The payment of a lost answer, or of a process that died before writing it, is pending.
func TestLostAuthorizationIsFoundOutFromTheProvider(t *testing.T) {
	t.Parallel()
	lost := func(t *testing.T, token string) (*harness, domain.Request) {
		h, r := setup(t), request(token)
		h.svc.Provider = loseAuthorization{h.sandbox}
		_, err := h.svc.Authorize(t.Context(), r)
		require.True(t, errs.OutcomeUnknown(err), "%v", err)
		require.Equal(t, "pending", h.payment(t, r.OrderID).GetStatus())
		return h, r
	}
	t.Run("capture", func(t *testing.T) {
		t.Parallel()
		h, r := lost(t, sandbox.TokenOK)
		p, err := h.capture(r.OrderID)
		require.NoError(t, err)
		require.Equal(t, "captured", p.GetStatus())
		require.Equal(t, books{Status: "captured", Captured: 5398, Entries: 2}, h.books(t, p.GetId()))
		h.clean(t)
	})
	t.Run("void", func(t *testing.T) {
		t.Parallel()
		h, r := lost(t, sandbox.TokenOK)
		p, err := h.void(r.OrderID)
		require.NoError(t, err)
		require.Equal(t, "voided", p.GetStatus())
		_, err = h.capture(r.OrderID)
		require.True(t, errs.Is(err, errs.Conflict), "%v", err)
		h.clean(t)
	})
	t.Run("never authorized", func(t *testing.T) {
		t.Parallel()
		h, r := lost(t, sandbox.TokenErrorThenOK) // an error before any effect
		_, err := h.capture(r.OrderID)
		require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
		require.ErrorContains(t, err, "has not answered yet")
	})
}

func TestSlowProviderTimesOut(t *testing.T) {
	t.Parallel()
	timeout := moduletest.Config(map[string]any{"provider_timeout": "200ms"})
	h := setup(t, timeout, inSandbox(map[string]any{"slow_for": "1h"}))
	r := request(sandbox.TokenSlow)
	_, err := h.authorize(r)
	require.Equal(t, errs.Timeout, errs.CodeOf(err), "%v", err)
	faster := paymentv1.NewPaymentServiceClient(h.Another(inSandbox(nil)).Client("order"))
	retry := func(f func() error) { // a slow machine may time out, too
		waittest.Until(t, func() bool {
			err := f()
			require.True(t, err == nil || errs.OutcomeUnknown(err), "%v", err)
			return err == nil
		}, "each attempt timed out")
	}
	retry(func() error { _, err := authorize(t, faster, r); return err })
	retry(func() error { _, err := h.capture(r.OrderID); return err })
	h.clean(t)
}

func TestCashOnDeliveryUsesNoProvider(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request("")
	r.Method = domain.CashOnDelivery
	p, err := h.authorize(r)
	require.NoError(t, err)
	require.Equal(t, "authorized", p.GetStatus())
	p, err = h.capture(r.OrderID)
	require.NoError(t, err)
	require.Equal(t, "captured", p.GetStatus())
	p, err = h.refund(r.OrderID, "all", nil)
	require.NoError(t, err)
	require.Equal(t, "refunded", p.GetStatus())
	require.Zero(t, h.rows(t, "sandbox.charge"))
	h.clean(t)
}

func TestInvalidRequestsAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, c := range map[string]struct {
		change func(*domain.Request)
		code   errs.Code
		path   string
	}{
		"card number": {
			func(r *domain.Request) { r.Token = "4242 4242-4242 4242" }, errs.CardNumberRefused, "",
		},
		"card number among words": {
			func(r *domain.Request) { r.Token = "tok 4242424242424242!" }, errs.CardNumberRefused, "",
		},
		"zero amount":     {func(r *domain.Request) { r.Amount = money.New(0, "BRL") }, errs.Invalid, "amount"},
		"negative amount": {func(r *domain.Request) { r.Amount = money.New(-1, "BRL") }, errs.Invalid, "amount"},
		"no token":        {func(r *domain.Request) { r.Token = "" }, errs.Invalid, "payment.token"},
		"cash with token": {
			func(r *domain.Request) { r.Method = domain.CashOnDelivery }, errs.Invalid, "payment.token",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request(sandbox.TokenOK)
			c.change(&r)
			_, err := h.authorize(r)
			require.Equal(t, c.code, errs.CodeOf(err), "%v", err)
			if c.path != "" {
				require.Equal(t, c.path, errs.From(err).Fields[0].Path)
			}
			require.Zero(t, h.rows(t, "payment where order_id = '"+r.OrderID+"'"), "nothing may be stored")
		})
	}
}

func TestOneOrderHasOneRequest(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	_, err := h.authorize(r)
	require.NoError(t, err)
	for _, change := range []func(*domain.Request){
		func(r *domain.Request) { r.Amount = money.New(5399, "BRL") },
		func(r *domain.Request) { r.Amount = money.New(5398, "USD") },
		func(r *domain.Request) { r.Token = sandbox.TokenSlow },
		func(r *domain.Request) { r.CustomerID = "usr_2" },
	} {
		other := r
		change(&other)
		_, err = h.authorize(other)
		require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	}
}

func TestConcurrentCallsChargeOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	for _, err := range moduletest.Concurrently(100, func(int) error { _, err := h.authorize(r); return err }) {
		require.NoError(t, err)
	}
	for _, err := range moduletest.Concurrently(100, func(int) error { _, err := h.capture(r.OrderID); return err }) {
		require.NoError(t, err)
	}
	p := h.payment(t, r.OrderID)
	require.Equal(t, books{Status: "captured", Captured: 5398, Entries: 2}, h.books(t, p.GetId()))
	require.Equal(t, []string{"evt.payment.initiated", "evt.payment.completed"}, h.Events(p.GetId()))
	h.clean(t)
}

func TestVoidPreventsCapture(t *testing.T) {
	t.Parallel()
	h := setup(t)
	t.Run("of an authorization", func(t *testing.T) {
		r := request(sandbox.TokenOK)
		p, err := h.authorize(r)
		require.NoError(t, err)
		for range 2 {
			p, err = h.void(r.OrderID)
			require.NoError(t, err)
			require.Equal(t, "voided", p.GetStatus())
		}
		require.Equal(t, "voided", h.books(t, p.GetId()).Status)
		_, err = h.capture(r.OrderID)
		require.True(t, errs.Is(err, errs.Conflict), "%v", err)
		_, err = h.authorize(r)
		require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	})
	t.Run("without payment", func(t *testing.T) {
		r := request(sandbox.TokenOK)
		for range 2 {
			p, err := h.void(r.OrderID)
			require.NoError(t, err)
			require.Nil(t, p, "a tombstone is not a payment")
		}
		_, err := h.authorize(r)
		require.True(t, errs.Is(err, errs.Conflict), "a late authorization meets the tombstone: %v", err)
	})
	t.Run("after a lost answer", func(t *testing.T) {
		r := request(sandbox.TokenTimeoutThenOK)
		_, err := h.authorize(r)
		require.True(t, errs.Is(err, errs.Timeout), "%v", err)
		p, err := h.void(r.OrderID)
		require.NoError(t, err)
		require.Equal(t, "voided", h.books(t, p.GetId()).Status)
	})
	t.Run("unknown to the provider", func(t *testing.T) {
		r := request(sandbox.TokenErrorThenOK)
		_, err := h.svc.Authorize(t.Context(), r)
		require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
		p, err := h.void(r.OrderID)
		require.NoError(t, err)
		require.Equal(t, "voided", p.GetStatus())
		charge, err := h.sandbox.Authorize(t.Context(), p.GetId(), sandbox.TokenOK, r.Amount)
		require.NoError(t, err)
		require.Equal(t, domain.ChargeVoided, charge.State, "the provider has a tombstone, too")
	})
	h.clean(t)
}

func TestConcurrentVoidAndCaptureAgree(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 20 {
		r := request(sandbox.TokenOK)
		_, err := h.authorize(r)
		require.NoError(t, err)
		out := moduletest.Concurrently(8, func(i int) error {
			if i%2 == 0 {
				_, err := h.capture(r.OrderID)
				return err
			}
			_, err := h.void(r.OrderID)
			return err
		})
		p := h.payment(t, r.OrderID)
		require.Equal(t, p.GetStatus(), h.books(t, p.GetId()).Status, "both sides agree: %v", out)
		require.Contains(t, []string{"captured", "voided"}, p.GetStatus())
	}
	h.clean(t)
}

func TestCrashAtAnyFailpointChargesOnce(t *testing.T) {
	// Not parallel: failpoints are the process's.
	died := errs.New(errs.Unavailable, "the process died here")
	for _, point := range service.Failpoints {
		t.Run(point, func(t *testing.T) {
			h := setup(t)
			r, voided := request(sandbox.TokenOK), request(sandbox.TokenOK)
			t.Cleanup(failpoint.Enable(point, failpoint.Error(died).Times(1)))
			retried := func(f func() error) {
				for range 3 {
					if err := f(); err == nil {
						return
					} else {
						require.ErrorIs(t, err, died)
					}
				}
				t.Fatal("every attempt failed")
			}
			retried(func() error { _, err := h.svc.Authorize(t.Context(), r); return err })
			retried(func() error { _, err := h.svc.Capture(t.Context(), r.OrderID); return err })
			retried(func() error { _, err := h.svc.Refund(t.Context(), r.OrderID, "key", nil); return err })
			retried(func() error { _, err := h.svc.Authorize(t.Context(), voided); return err })
			retried(func() error { _, err := h.svc.Void(t.Context(), voided.OrderID); return err })
			p, err := h.svc.Store.ByOrder(t.Context(), r.OrderID)
			require.NoError(t, err)
			require.Equal(t, books{Status: "captured", Captured: 5398, Refunded: 5398, Entries: 2}, h.books(t, p.ID))
			v, err := h.svc.Store.ByOrder(t.Context(), voided.OrderID)
			require.NoError(t, err)
			require.Equal(t, "voided", h.books(t, v.ID).Status)
			h.clean(t)
		})
	}
}

func TestReconcileAppliesAbandonedOutcomes(t *testing.T) {
	// Not parallel: failpoints are the process's.
	died := failpoint.Error(errs.New(errs.Unavailable, "the process died here")).Times(1)
	const openFor, giveUp = 30 * time.Second, 15 * time.Minute
	for _, c := range []struct {
		point string
		after []domain.Status // of the payment, at each pass
	}{
		{service.FailAfterInitiate, []domain.Status{domain.Pending, domain.Voided}},
		{service.FailAfterProviderAuthorize, []domain.Status{domain.Authorized, domain.Authorized}},
		{service.FailAfterProviderCapture, []domain.Status{domain.Captured, domain.Captured}},
		{service.FailAfterVoidRequest, []domain.Status{domain.Voided, domain.Voided}},
		{service.FailAfterProviderVoid, []domain.Status{domain.Voided, domain.Voided}},
		{service.FailAfterRefundRequest, []domain.Status{domain.Refunded, domain.Refunded}},
		{service.FailAfterProviderRefund, []domain.Status{domain.Refunded, domain.Refunded}},
	} {
		t.Run(c.point, func(t *testing.T) {
			h := setup(t)
			t.Cleanup(failpoint.Enable(c.point, died))
			r := request(sandbox.TokenOK)
			_, _ = h.svc.Authorize(t.Context(), r)
			switch c.point {
			case service.FailAfterProviderCapture:
				_, _ = h.svc.Capture(t.Context(), r.OrderID)
			case service.FailAfterVoidRequest, service.FailAfterProviderVoid:
				_, _ = h.svc.Void(t.Context(), r.OrderID)
			case service.FailAfterRefundRequest, service.FailAfterProviderRefund:
				_, _ = h.svc.Capture(t.Context(), r.OrderID)
				_, _ = h.svc.Refund(t.Context(), r.OrderID, "key", nil)
			}
			n, err := h.svc.Reconcile(t.Context(), openFor, giveUp)
			require.NoError(t, err)
			require.Zero(t, n, "it is too early")
			for _, want := range c.after {
				h.clock.Advance(giveUp)
				h.clock.Advance(openFor)
				if want == domain.Pending {
					h.clock.Advance(-giveUp)
				}
				_, err = h.svc.Reconcile(t.Context(), openFor, giveUp)
				require.NoError(t, err)
				p, err := h.svc.Store.ByOrder(t.Context(), r.OrderID)
				require.NoError(t, err)
				require.Equal(t, want, p.Status)
			}
			h.clean(t)
		})
	}
}

// TestAdoptMovesGuestPaymentsToUser also checks that another guest's payments stay.
func TestAdoptMovesGuestPaymentsToUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	pay := func(customerID string) (orderID, paymentID string) {
		r := request(sandbox.TokenOK)
		r.CustomerID = customerID
		p, err := h.authorize(r)
		require.NoError(t, err)
		_, err = h.capture(r.OrderID)
		require.NoError(t, err)
		return r.OrderID, p.GetId()
	}
	order, mine := pay("gst_1")
	other, theirs := pay("gst_2")
	member := h.AsUser("usr_1")
	guest := h.As(identity.Actor{Kind: identity.KindGuest, ID: "gst_1"})
	get := func(ctx context.Context, paymentID string) error {
		_, err := h.gateway.GetPayment(ctx, &paymentv1.GetPaymentRequest{Id: paymentID})
		return err
	}
	require.NoError(t, get(guest, mine))
	for range 2 {
		_, err := h.order.AdoptPayments(t.Context(), &paymentv1.AdoptPaymentsRequest{
			GuestId: "gst_1", UserId: "usr_1", OrderIds: []string{order, other},
		})
		require.NoError(t, err)
		require.NoError(t, get(member, mine))
		require.Equal(t, errs.NotFound, errs.CodeOf(get(guest, mine)))
		require.Equal(t, errs.NotFound, errs.CodeOf(get(member, theirs)))
	}
	h.clean(t)
}
