package tests

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	payments "souk/apps/payment/internal/repository/sqlc"
	charges "souk/apps/payment/internal/sandbox/sqlc"
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
		_, err := h.pool.Exec(
			t.Context(),
			`insert into payment (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, created_at, updated_at)
			select id, 'ord_' || id, 'usr_1', 'authorized', 'card', 'BRL', 100, 'sandbox', '', now(), now() from unnest($1::text[]) id order by random()`,
			ids,
		)
		require.NoError(t, err)
		q := payments.New(h.pool)
		for range runs {
			for _, err := range concurrently(len(sets), func(i int) error {
				moved, err := q.Settle(t.Context(), payments.SettleParams{
					Ids: sets[i], Statuses: fill("authorized"), Froms: fill("authorized"), Refs: fill(""), Reasons: fill(""),
					Ats: slices.Repeat([]time.Time{h.clock.Now()}, many-5), EventIds: fill(""), Subjects: fill(""), Types: fill(""),
					Metadatas: fill("{}"), Payloads: slices.Repeat([][]byte{{}}, many-5),
				})
				if err == nil && len(moved) != many-5 {
					err = fmt.Errorf("%d rows changed", len(moved))
				}
				return err
			}) {
				require.NoError(t, err)
			}
		}
		var version int64
		require.NoError(t, h.pool.QueryRow(t.Context(), `select sum(version - 1) from payment`).Scan(&version))
		require.EqualValues(t, runs*len(sets)*(many-5), version, "every update took effect")
	})
	t.Run("charges", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		q := charges.New(h.pool)
		for range runs {
			_, err := h.pool.Exec(t.Context(), `truncate sandbox.charge, sandbox.ledger_entry`)
			require.NoError(t, err)
			_, err = h.pool.Exec(t.Context(), `insert into sandbox.charge (key, status, currency, amount)
				select id, 'authorized', 'BRL', 100 from unnest($1::text[]) id order by random()`, ids)
			require.NoError(t, err)
			for _, err := range concurrently(len(sets), func(i int) error {
				_, err := q.Capture(t.Context(), charges.CaptureParams{Keys: sets[i], WebhookIds: fill(""), Bodies: slices.Repeat([][]byte{{}}, many-5)})
				return err
			}) {
				require.NoError(t, err)
			}
			require.Equal(t, many, h.rows(t, "sandbox.charge where captured = 100"))
			require.Equal(t, 2*many, h.rows(t, "sandbox.ledger_entry"), "booked once")
		}
	})
}
