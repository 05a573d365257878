package tests

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/payment/internal/sandbox"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

func notice(eventID, paymentID, status string) []byte {
	return []byte(
		fmt.Sprintf(`{"id":%q,"type":"charge.%s","charge":{"key":%q,"status":%q}}`, eventID, status, paymentID, status),
	)
}

func TestWebhookNeedsValidSignature(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	p, err := h.authorize(r)
	require.NoError(t, err)
	now := h.clock.Now()
	body := notice("whe_1", p.GetId(), "captured")
	good := sandbox.Sign(secret, now, body)
	for name, c := range map[string]struct {
		body      []byte
		signature string
		code      errs.Code
	}{
		"former secret":  {body, sandbox.Sign(former, now, body), ""},
		"none":           {body, "", errs.Unauthenticated},
		"nonsense":       {body, "t=1,v1=zz", errs.Unauthenticated},
		"another secret": {body, sandbox.Sign("not the secret at all", now, body), errs.Unauthenticated},
		"another body":   {notice("whe_2", p.GetId(), "captured"), good, errs.Unauthenticated},
		"too old": {
			body, sandbox.Sign(secret, now.Add(-5*time.Minute-time.Second), body), errs.Unauthenticated,
		},
		"from the future": {
			body, sandbox.Sign(secret, now.Add(5*time.Minute+time.Second), body), errs.Unauthenticated,
		},
		"former secret of another time": {
			body, sandbox.Sign(former, now.Add(-5*time.Minute-time.Second), body), errs.Unauthenticated,
		},
		"another time": {body, strings.Replace(good, "t=", "t=1", 1), errs.Unauthenticated},
		"no JSON":      {[]byte("{"), sandbox.Sign(secret, now, []byte("{")), errs.Invalid},
		"no status": {
			notice("whe_3", p.GetId(), "lost"), sandbox.Sign(secret, now, notice("whe_3", p.GetId(), "lost")),
			errs.Invalid,
		},
		"no such payment": {
			notice("whe_4", "pay_none", "captured"),
			sandbox.Sign(secret, now, notice("whe_4", "pay_none", "captured")), errs.NotFound,
		},
		"no such refund": {
			[]byte(`{"id":"whe_5","charge":{"key":"` + p.GetId() + `","status":"authorized"},"refund":"ref_x"}`), "",
			errs.NotFound,
		},
		"the good one late": {body, sandbox.Sign(secret, now.Add(-4*time.Minute), body), ""},
	} {
		if c.signature == "" && name != "none" {
			c.signature = sandbox.Sign(secret, now, c.body)
		}
		_, err := h.webhook(c.body, c.signature)
		require.Equal(t, c.code, errs.CodeOf(err), "%s: %v", name, err)
	}
	stripe := &paymentv1.ReceiveWebhookRequest{Provider: "stripe", Body: body, Signature: good}
	_, err = h.gateway.ReceiveWebhook(t.Context(), stripe)
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
}

func TestWebhookIsAppliedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenOK)
	p, err := h.authorize(r)
	require.NoError(t, err)
	_, err = h.sandbox.Capture(t.Context(), p.GetId()) // the answer never arrived
	require.NoError(t, err)
	body := notice("whe_1", p.GetId(), "captured")
	var fresh atomic.Int64
	for _, err := range moduletest.Concurrently(20, func(int) error {
		duplicate, err := h.signed(body)
		if err == nil && !duplicate {
			fresh.Add(1)
		}
		return err
	}) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, fresh.Load())
	require.Equal(t, "captured", h.payment(t, r.OrderID).GetStatus())
	require.Equal(t, []string{"evt.payment.initiated", "evt.payment.completed"}, h.Events(p.GetId()))
	h.clean(t)
}

func TestWebhookAppliesEachOfSeveralNotices(t *testing.T) {
	t.Parallel()
	h := setup(t)
	known, update := request(sandbox.TokenOK), request(sandbox.TokenOK)
	a, err := h.authorize(known)
	require.NoError(t, err)
	_, err = h.capture(known.OrderID)
	require.NoError(t, err)
	b, err := h.authorize(update)
	require.NoError(t, err)
	_, err = h.sandbox.Capture(t.Context(), b.GetId()) // the answer never arrived
	require.NoError(t, err)
	several := func(notices ...[]byte) []byte {
		return []byte(`{"notices":[` + string(bytes.Join(notices, []byte(","))) + `]}`)
	}
	old := notice("whe_1", a.GetId(), "authorized")
	duplicate, err := h.signed(
		several(old, notice("whe_2", a.GetId(), "captured"), notice("whe_3", b.GetId(), "captured")),
	)
	require.NoError(t, err)
	require.False(t, duplicate)
	require.Equal(t, "captured", h.payment(t, update.OrderID).GetStatus(), "the webhook replaces the lost answer")

	duplicate, err = h.signed(several(notice("whe_3", b.GetId(), "captured"), old))
	require.NoError(t, err)
	require.True(t, duplicate)
	duplicate, err = h.signed(several(old, notice("whe_4", b.GetId(), "authorized")))
	require.NoError(t, err)
	require.False(t, duplicate, "one of them is new")
	require.Equal(t, 4, h.rows(t, "webhook_inbox"))
	_, err = h.signed(several(notice("whe_5", "pay_none", "captured"), old))
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	_, err = h.signed(several(old, []byte(`{"id":""}`)))
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
	require.Equal(t, []string{"evt.payment.initiated", "evt.payment.completed"}, h.Events(b.GetId()), "published once")
	h.clean(t)
}

func TestWebhookConcurrentWithItsCallIsAppliedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for i := range 100 {
		r := request(sandbox.TokenOK)
		p, err := h.authorize(r)
		require.NoError(t, err)
		for _, err := range moduletest.Concurrently(3, func(n int) error {
			switch n {
			case 0:
				_, err := h.capture(r.OrderID)
				return err
			case 1: // a notice follows its effect, so the charge is captured by then
				if _, err := h.sandbox.Capture(t.Context(), p.GetId()); err != nil {
					return err
				}
				_, err := h.signed(notice(fmt.Sprintf("whe_c%d", i), p.GetId(), "captured"))
				return err
			default: // an outdated notice
				_, err := h.signed(notice(fmt.Sprintf("whe_a%d", i), p.GetId(), "authorized"))
				return err
			}
		}) {
			require.NoError(t, err)
		}
		require.Equal(t, "captured", h.payment(t, r.OrderID).GetStatus())
		once := []string{"evt.payment.initiated", "evt.payment.completed"}
		require.Equal(t, once, h.Events(p.GetId()), "published once")
	}
	h.clean(t)
}

func TestWebhookAuthorizesPendingPayment(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := request(sandbox.TokenTimeoutThenOK)
	_, err := h.authorize(r)
	require.Equal(t, errs.Timeout, errs.CodeOf(err), "%v", err)
	p := h.payment(t, r.OrderID)
	require.Equal(t, "pending", p.GetStatus())
	_, err = h.signed(notice("whe_1", p.GetId(), "authorized"))
	require.NoError(t, err)
	status := h.payment(t, r.OrderID).GetStatus()
	require.Equal(t, "authorized", status, "the sandbox sends no such notice, other providers do")
	h.clean(t)
}

// receiver accepts the sandbox's webhooks as the gateway does, and refuses the first ones.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	refuse int
	bodies []string
}

func receive(t *testing.T, refuse int, to func(body []byte, signature string) error) *receiver {
	r := &receiver{refuse: refuse}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refuse > 0 {
			r.refuse--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.bodies = append(r.bodies, string(body))
		if err := to(body, req.Header.Get(sandbox.SignatureHeader)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func TestSandboxDeliversWebhooksOnce(t *testing.T) {
	t.Parallel()
	var h *harness
	recv := receive(t, 1, func(body []byte, signature string) error {
		_, err := h.webhook(body, signature)
		return err
	})
	h = setup(t)
	h.process = newProcess(t, h.Pool, h.clock, recv.URL)
	r := request(sandbox.TokenOK)
	p, err := h.svc.Authorize(t.Context(), r)
	require.NoError(t, err)
	n, err := h.sandbox.Deliver(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "an authorization sends no webhook")
	require.Zero(t, h.rows(t, "sandbox.webhook"))
	_, err = h.sandbox.Capture(t.Context(), p.ID) // the answer never arrived
	require.NoError(t, err)

	n, err = h.sandbox.Deliver(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "refused: it is retried later")
	_, err = h.Pool.Exec(t.Context(), `update sandbox.webhook set next_attempt_at = now()`)
	require.NoError(t, err)
	n, err = h.sandbox.Deliver(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, "captured", h.payment(t, r.OrderID).GetStatus(), "the webhook replaces the lost answer")

	declined := request(sandbox.TokenDeclined)
	_, err = h.svc.Authorize(t.Context(), declined)
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err))
	_, err = h.svc.Refund(t.Context(), r.OrderID, "key", nil)
	require.NoError(t, err)
	n, err = h.sandbox.Deliver(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = h.sandbox.Deliver(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "once each")
	require.Len(t, recv.bodies, 2, "the last two share a request")
	require.Zero(t, h.rows(t, "sandbox.webhook"), "delivered webhooks are deleted")
	require.Equal(t, 3, h.rows(t, "webhook_inbox"))
	require.Equal(t, []string{"evt.payment.initiated", "evt.payment.completed", "evt.payment.refunded"},
		h.Events(p.ID))
	h.clean(t)
}
