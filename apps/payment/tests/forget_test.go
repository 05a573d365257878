package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/handler"
	"souk/apps/payment/internal/repository"
	"souk/apps/payment/internal/sandbox"
	"souk/pkg/id"
)

const day = 24 * time.Hour

func TestOldNoticesAreDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	p, err := h.authorize(request(sandbox.TokenOK))
	require.NoError(t, err)
	h.Stop() // its chores must not do what this test expects of one pass
	take := func(eventID string) bool {
		body := notice(eventID, p.GetId(), "authorized")
		duplicate, err := h.svc.ReceiveWebhook(
			t.Context(),
			sandbox.Name,
			body,
			sandbox.Sign(secret, h.clock.Now(), body),
		)
		require.NoError(t, err)
		return duplicate
	}
	for _, eventID := range []string{"whe_1", "whe_2", "whe_3"} {
		require.False(t, take(eventID))
	}
	h.clock.Advance(29 * day)
	require.True(t, take("whe_1"), "kept for as long as a provider may repeat it")
	require.False(t, take("whe_4"))
	n, err := h.svc.ForgetWebhooks(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n)
	h.clock.Advance(day + time.Second)
	for _, want := range []int{2, 1, 0} {
		n, err = h.svc.ForgetWebhooks(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, want, n, "never more than the limit")
	}
	require.Equal(t, 1, h.rows(t, "webhook_inbox"))
	require.True(t, take("whe_4"))
	h.clean(t)
}

func TestSandboxDeletesOldTraces(t *testing.T) {
	t.Parallel()
	recv := receive(t, 1, func([]byte, string) error { return nil })
	h := setup(t)
	h.Stop() // as above
	h.process = newProcess(t, h.Pool, h.clock, recv.URL)
	exec := func(sql string) {
		_, err := h.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	r := request(sandbox.TokenErrorThenOK)
	_, err := h.svc.Authorize(t.Context(), r)
	require.Error(t, err)
	_, err = h.svc.Void(t.Context(), r.OrderID)
	require.NoError(t, err)
	exec(`update sandbox.webhook set attempts = 14`)
	n, err := h.sandbox.Deliver(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	exec(`update sandbox.webhook set next_attempt_at = now()`)
	n, err = h.sandbox.Deliver(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, 1, h.rows(t, "sandbox.webhook where dropped_at is not null"),
		"dropped webhooks are kept for inspection")
	exec(`insert into sandbox.webhook (id, body, delivered_at) values ('before', '', now())`)
	exec(`insert into sandbox.webhook (id, body) values ('waits', '')`)

	age := func(days string) {
		exec(`update sandbox.webhook set created_at = now() - w.age, delivered_at = delivered_at - w.age,
			dropped_at = dropped_at - w.age from (select interval '` + days + `' as age) w`)
		exec(`update sandbox.call set at = now() - interval '` + days + `'`)
	}
	age("29 days")
	n, err = h.sandbox.Forget(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n)
	age("31 days")
	for _, want := range []int{2, 1, 0} { // a webhook and the call, then the other webhook
		n, err = h.sandbox.Forget(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, want, n, "never more than the limit")
	}
	require.Equal(t, 1, h.rows(t, "sandbox.webhook where id = 'waits'"), "it was not dropped")
	require.Equal(t, 1, h.rows(t, "sandbox.webhook"))
	require.Zero(t, h.rows(t, "sandbox.call"))
	h.clean(t)
}

func TestForgetContinuesWhileRowsRemain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	left, passes := 2500, 0
	job := handler.Forget(func(_ context.Context, limit int) (int, error) {
		passes++
		n := min(limit, left)
		if left -= n; left == 0 {
			cancel()
		}
		return n, nil
	}, time.Millisecond, zap.NewNop())
	require.NoError(t, job(ctx))
	require.Zero(t, left)
	require.GreaterOrEqual(t, passes, 3, "in batches")
}

func TestRefusedPaymentsAreDeletedAfterTheRetention(t *testing.T) {
	t.Parallel()
	h := setup(t)
	declined, voided, captured, held := request(sandbox.TokenDeclined), request(sandbox.TokenOK),
		request(sandbox.TokenOK), request(sandbox.TokenOK)
	for _, r := range []domain.Request{declined, voided, captured, held} {
		_, err := h.authorize(r)
		if r.Token == sandbox.TokenOK {
			require.NoError(t, err)
		}
	}
	for _, orderID := range []string{voided.OrderID, id.New(id.Order)} { // the second leaves a tombstone
		_, err := h.svc.Void(t.Context(), orderID)
		require.NoError(t, err)
	}
	_, err := h.svc.Capture(t.Context(), captured.OrderID)
	require.NoError(t, err)
	store, now := repository.New(h.Pool, func() {}), time.Now()
	for _, c := range []struct {
		from, before time.Time
		most, want   int
	}{
		{time.Time{}, now.Add(-time.Hour), 10, 0},
		{now.Add(time.Hour), now.Add(2 * time.Hour), 10, 0},
		{time.Time{}, now.Add(time.Hour), 2, 2},
		{now.Add(-time.Hour), now.Add(time.Hour), 2, 1},
		{time.Time{}, now.Add(time.Hour), 2, 0},
	} {
		n, err := store.ForgetRefused(t.Context(), c.from, c.before, c.most)
		require.NoError(t, err)
		require.Equal(t, c.want, n)
	}
	require.Equal(t, 2, h.rows(t, "payment"))
	h.clean(t)
}
