package tests

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/repository"
	charges "souk/apps/payment/internal/sandbox/sqlc"
	"souk/pkg/moduletest"
)

// TestStatementsWithOppositeOrdersDoNotDeadlock gives statements the same rows in opposite orders.
func TestStatementsWithOppositeOrdersDoNotDeadlock(t *testing.T) {
	t.Parallel()
	const many, runs = 60, 30
	ids := make([]string, many)
	for i := range ids {
		ids[i] = fmt.Sprintf("pay_%03d", i)
	}
	// Each set lacks a few IDs at one end.
	up, down := slices.Clone(ids[5:]), slices.Clone(ids[:many-5])
	slices.Reverse(down)
	sets := [][]string{up, down, up, down}
	fill := func(s string) []string { return slices.Repeat([]string{s}, many-5) }

	t.Run("payments", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		_, err := h.Pool.Exec(
			t.Context(),
			`insert into payment (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, created_at, updated_at)
			select id, 'ord_' || id, 'usr_1', 'pending', 'card', 'BRL', 100, 'sandbox', '', now(), now() from unnest($1::text[]) id order by random()`,
			ids,
		)
		require.NoError(t, err)
		for range runs {
			_, err := h.Pool.Exec(t.Context(), `update payment set status = 'pending'`)
			require.NoError(t, err)
			for _, err := range moduletest.Concurrently(len(sets), func(i int) error {
				items := make([]repository.Transition, many-5)
				for n, id := range sets[i] {
					items[n].Transition = domain.Transition{PaymentID: id, Status: domain.Authorized, At: h.clock.Now()}
				}
				_, err := repository.ApplyAll(t.Context(), h.Pool, items)
				return err
			}) {
				require.NoError(t, err)
			}
		}
		versions := moduletest.Value[int](h.Service, `select sum(version - 1) from payment`)
		require.Equal(t, runs*many, versions, "every payment was authorized once a run")
	})
	t.Run("charges", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		q := charges.New(h.Pool)
		for range runs {
			_, err := h.Pool.Exec(t.Context(), `truncate sandbox.charge, sandbox.ledger_entry`)
			require.NoError(t, err)
			_, err = h.Pool.Exec(t.Context(), `insert into sandbox.charge (key, status, currency, amount)
				select id, 'authorized', 'BRL', 100 from unnest($1::text[]) id order by random()`, ids)
			require.NoError(t, err)
			for _, err := range moduletest.Concurrently(len(sets), func(i int) error {
				_, err := q.Capture(t.Context(), charges.CaptureParams{
					Keys: sets[i], WebhookIds: fill(""), Bodies: slices.Repeat([][]byte{{}}, many-5),
				})
				return err
			}) {
				require.NoError(t, err)
			}
			require.Equal(t, many, h.rows(t, "sandbox.charge where captured = 100"))
			require.Equal(t, 2*many, h.rows(t, "sandbox.ledger_entry"), "booked once")
		}
	})
}
