package tests

import (
	"context"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/payment"
	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/sandbox"
	"souk/apps/payment/internal/service"
	"souk/pkg/errs"
	"souk/pkg/migration"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

// broken is a provider that fails for some payments and counts the calls.
type broken struct {
	service.Provider
	mu    sync.Mutex
	fails map[string]bool
	asked int
}

func (b *broken) fail(paymentIDs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails, b.asked = map[string]bool{}, 0
	for _, paymentID := range paymentIDs {
		b.fails[paymentID] = true
	}
}

func (b *broken) ask(paymentID string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.fails[paymentID] {
		return errs.New(errs.Unavailable, "the payment provider has an error")
	}
	return nil
}

func (b *broken) Status(ctx context.Context, paymentID string) (domain.Charge, error) {
	if err := b.ask(paymentID); err != nil {
		return domain.Charge{}, err
	}
	return b.Provider.Status(ctx, paymentID)
}

func (b *broken) Refund(ctx context.Context, paymentID, refundID string, amount money.Money) error {
	if err := b.ask(paymentID); err != nil {
		return err
	}
	return b.Provider.Refund(ctx, paymentID, refundID, amount)
}

// breakProvider puts a broken provider between the service and the sandbox.
func breakProvider(h *harness) *broken {
	b := &broken{Provider: h.sandbox}
	h.svc.Provider = b
	return b
}

const openFor, giveUp = 30 * time.Second, 15 * time.Minute

func (h *harness) reconcile(t testing.TB) {
	t.Helper()
	h.clock.Advance(openFor + time.Second)
	_, err := h.svc.Reconcile(t.Context(), openFor, giveUp)
	require.NoError(t, err)
}

func TestFailingPaymentsDoNotBlockReconcile(t *testing.T) {
	t.Parallel()
	const batch = 100 // payments in one pass
	// many authorizes n payments and calls do with each.
	many := func(t *testing.T, h *harness, n int, do func(r domain.Request) error) []string {
		ids := make([]string, n)
		for _, err := range moduletest.Concurrently(n, func(i int) error {
			r := request(sandbox.TokenOK)
			p, err := h.svc.Authorize(t.Context(), r)
			if err != nil {
				return err
			}
			ids[i] = p.ID
			return do(r)
		}) {
			require.NoError(t, err)
		}
		return ids
	}
	t.Run("payments", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		b := breakProvider(h)
		nop := func(domain.Request) error { return nil }
		stuck := many(t, h, batch, nop)
		last := many(t, h, 1, nop)[0]
		_, err := h.sandbox.Capture(t.Context(), last) // the answer never arrived
		require.NoError(t, err)
		before, err := h.svc.Store.ByID(t.Context(), stuck[0])
		require.NoError(t, err)
		b.fail(stuck...)
		h.reconcile(t)
		require.Equal(t, batch, b.asked)
		h.reconcile(t)
		p, err := h.svc.Store.ByID(t.Context(), last)
		require.NoError(t, err)
		require.Equal(t, domain.Captured, p.Status)
		p, err = h.svc.Store.ByID(t.Context(), stuck[0])
		require.NoError(t, err)
		require.Equal(t, before, p, "a failed attempt does not change the payment")
		h.clean(t)
	})
	t.Run("refunds", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		b := breakProvider(h)
		refund := func(r domain.Request) error {
			p, err := h.svc.Capture(t.Context(), r.OrderID)
			if err != nil {
				return err
			}
			b.mu.Lock()
			b.fails[p.ID] = true
			b.mu.Unlock()
			if _, err = h.svc.Refund(t.Context(), r.OrderID, "key", nil); errs.Is(err, errs.Unavailable) {
				return nil
			}
			return errs.Wrap(err, errs.Internal, "the refund was to fail")
		}
		b.fail()
		stuck := many(t, h, batch, refund)
		last := many(t, h, 1, refund)[0]
		b.fail(stuck...)
		h.reconcile(t)
		require.Equal(t, batch, b.asked)
		h.reconcile(t)
		p, err := h.svc.Store.ByID(t.Context(), last)
		require.NoError(t, err)
		require.Equal(t, domain.Refunded, p.Status, "refunds that failed again do not block it")
		b.fail()
		h.reconcile(t)
		for _, paymentID := range stuck {
			p, err := h.svc.Store.ByID(t.Context(), paymentID)
			require.NoError(t, err)
			require.Equal(t, domain.Refunded, p.Status)
		}
		h.clean(t)
	})
}

// A process of the previous release leaves asked_at at its default.
func TestReconcileDoesNotAskAboutKnownOutcomes(t *testing.T) {
	t.Parallel()
	h := setup(t)
	b := breakProvider(h)
	done, open := request(sandbox.TokenOK), request(sandbox.TokenOK)
	_, err := h.svc.Authorize(t.Context(), done)
	require.NoError(t, err)
	_, err = h.svc.Capture(t.Context(), done.OrderID)
	require.NoError(t, err)
	_, err = h.svc.Authorize(t.Context(), open)
	require.NoError(t, err)
	require.Equal(t, 1, h.rows(t, "payment where asked_at is not null"))
	_, err = h.Pool.Exec(t.Context(), `update payment set asked_at = created_at`)
	require.NoError(t, err)
	for want := range 2 {
		h.reconcile(t)
		require.Equal(t, want+1, b.asked)
	}
	require.Equal(t, 1, h.rows(t, "payment where asked_at is not null"))
	h.clean(t)
}

func TestMigrationQueuesOpenPayments(t *testing.T) {
	t.Parallel()
	before := fstest.MapFS{}
	for _, name := range []string{"000001_payments", "000002_sandbox"} {
		for _, direction := range []string{".up.sql", ".down.sql"} {
			sql, err := fs.ReadFile(payment.Module.Migrations, "db/migrations/"+name+direction)
			require.NoError(t, err)
			before[name+direction] = &fstest.MapFile{Data: sql}
		}
	}
	url := pgtest.URL(t, outbox.Migrations())
	require.NoError(t, migration.Up(t.Context(), url, "payment", before))
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), `
		insert into payment (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, created_at, updated_at)
		select s, s, 'usr_1', s, 'card', 'BRL', 100, 'sandbox', ''::bytea, now(), now() from unnest(array['pending', 'authorized', 'captured', 'voided', 'failed']) s
		union all select 'cash', 'cash', 'usr_1', 'authorized', 'cod', 'BRL', 100, '', '', now(), now()`)
	require.NoError(t, err)
	require.NoError(t, migration.Up(t.Context(), url, "payment", payment.Module.Migrations))
	var open []string
	require.NoError(
		t,
		pool.QueryRow(t.Context(), `select array_agg(id order by id) from payment where asked_at = updated_at`).
			Scan(&open),
	)
	require.Equal(t, []string{"authorized", "pending"}, open)
	var others int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from payment where asked_at is null`).Scan(&others))
	require.Equal(t, 4, others)
}

func TestOpenPaymentsAreMeasured(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"reconcile": map[string]any{"open_for": "87600h", "every": "20ms"}}))
	shows := func(open, age float64) {
		t.Helper()
		waittest.Until(t, func() bool {
			return h.Metric("payment_open") == open && h.Metric("payment_open_oldest_seconds") == age
		}, "not %v payments, the oldest %v s old", open, age)
	}
	r := request(sandbox.TokenOK)
	_, err := h.authorize(r)
	require.NoError(t, err)
	h.clock.Advance(10 * time.Minute)
	shows(1, 600)
	_, err = h.capture(r.OrderID)
	require.NoError(t, err)
	shows(0, 0)
}
