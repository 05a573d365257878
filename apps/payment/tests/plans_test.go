package tests

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/payment"
	"souk/apps/payment/internal/sandbox"
	"souk/pkg/clock"
	"souk/pkg/moduletest"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
)

// TestSetStatementsUseGenericPlansAndIndexes: statements with array parameters are planned once, whatever the
// sizes of their arrays, and find their rows through indexes.
func TestSetStatementsUseGenericPlansAndIndexes(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, payment.Module.Sets()...)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	for _, sql := range []string{
		`insert into payment (id, order_id, customer_id, status, method, currency, amount, captured, provider, request_hash, created_at, updated_at, asked_at)
			select 'pay_' || n, 'ord_' || n, 'usr_1', 'captured', 'card', 'BRL', 100, 100, 'sandbox', '', now(), now(), null from generate_series(1, 100000) n`,
		`insert into refund (id, payment_id, idem_key, amount, state, created_at, updated_at) select id, id, '', 1, 'done', now(), now() from payment`,
		`insert into sandbox.charge (key, status, currency, amount, captured) select id, 'captured', 'BRL', 100, 100 from payment`,
		`insert into sandbox.webhook (id, body, next_attempt_at) select id, '', now() + interval '1 day' from payment`,
		`insert into sandbox.call (key, op, outcome) select id, '', '' from payment`,
		`insert into webhook_inbox (provider, event_id, payment_id, body_hash, received_at, processed_at)
			select 'sandbox', id, id, '', created_at, created_at from payment`,
		`vacuum analyze`,
	} {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	var p *process
	recv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		_, err := p.svc.ReceiveWebhook(t.Context(), sandbox.Name, body, req.Header.Get(sandbox.SignatureHeader))
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(recv.Close)
	c := clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	p = newProcess(t, pool, c, recv.URL)
	for i := range 12 {
		callers := 1 + 4*(i/10) // so few that a custom plan looks cheaper than a generic one
		c.Advance(time.Second)
		for _, err := range moduletest.Concurrently(callers, func(int) error {
			r := request(sandbox.TokenOK)
			authorized, err := p.svc.Authorize(t.Context(), r)
			if err == nil {
				_, err = p.sandbox.Status(t.Context(), authorized.ID)
			}
			if err == nil {
				_, err = p.svc.Capture(t.Context(), r.OrderID)
			}
			return err
		}) {
			require.NoError(t, err)
		}
		n, err := p.sandbox.Deliver(t.Context())
		require.NoError(t, err)
		require.Equal(t, callers, n)
		_, err = p.svc.Reconcile(t.Context(), openFor, giveUp)
		require.NoError(t, err)
		_, err = p.svc.Store.ForgetWebhooks(t.Context(), time.Time{}, 1000)
		require.NoError(t, err)
		_, err = p.sandbox.Forget(t.Context(), 1000)
		require.NoError(t, err)
	}

	type statement struct {
		name, sql       string
		parameters      int
		sets            bool
		generic, custom int
	}
	rows, err := pool.Query(
		t.Context(),
		`select name, statement, cardinality(parameter_types), exists (select from unnest(parameter_types::text[]) p where p like '%[]'),
		generic_plans, custom_plans from pg_prepared_statements where statement ~ '-- name: [A-Z]'`,
	)
	require.NoError(t, err)
	var all []statement
	for rows.Next() {
		var s statement
		require.NoError(t, rows.Scan(&s.name, &s.sql, &s.parameters, &s.sets, &s.generic, &s.custom))
		all = append(all, s)
	}
	require.NoError(t, rows.Err())
	_, err = pool.Exec(t.Context(), `set plan_cache_mode = force_generic_plan`)
	require.NoError(t, err)
	scan := regexp.MustCompile(`Seq Scan on \w+`)
	seen := map[string]bool{}
	for _, s := range all {
		_, sql, _ := strings.Cut(s.sql, "-- name: ")
		name := strings.Fields(sql)[0]
		seen[name] = true
		if s.sets {
			require.Positive(t, s.generic, "%s was planned %d times", name, s.custom)
		}
		nulls := strings.TrimSuffix(strings.Repeat("null, ", s.parameters), ", ")
		lines, err := pool.Query(t.Context(), `explain execute `+s.name+` (`+nulls+`)`)
		require.NoError(t, err)
		var plan strings.Builder
		for lines.Next() {
			var line string
			require.NoError(t, lines.Scan(&line))
			plan.WriteString(line + "\n")
		}
		require.NoError(t, lines.Err())
		require.Empty(t, scan.FindAllString(plan.String(), -1), "%s:\n%s", name, plan.String())
	}
	for _, name := range []string{
		"ByOrders", "ByIDs", "Initiate", "Apply", "NoteWebhooks", "AskOpen", "AskOpenRefunds", "ForgetWebhooks",
		"Charge", "Charges", "Capture", "DueWebhooks", "Delivered", "ForgetCalls",
	} {
		require.True(t, seen[name], "%s did not run", name)
	}
}
