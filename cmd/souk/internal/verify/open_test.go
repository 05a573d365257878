package verify_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// An order is open while its checkout, its cancellation, that of a part, or its collection has not ended.
func TestOrdersAreOpenWhileASagaOfTheirsRuns(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.exec(t, h.order, `update orders set cancel_id = 'can_whole' where id = 'ord_back'`)
	for _, id := range []string{"can_whole", "collect_ord_card", "can_part"} {
		h.saga(t, id, "compensating")
	}
	h.exec(t, h.order, `update shop_order set cancel_id = 'can_part' where id = 'sho_ord_part_b'`)
	h.saga(t, "ord_sent", "running")
	h.exec(t, h.order, `update saga set state = 'done', ended_at = now() where id = 'ord_sent'`)
	statement, err := os.ReadFile("orders.sql")
	require.NoError(t, err)
	rows, err := h.order.Query(t.Context(), string(statement), nil)
	require.NoError(t, err)
	var open []string
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		if err == nil && values[len(values)-1] == true {
			open = append(open, values[0].(string))
		}
		return "", err
	})
	require.NoError(t, err)
	require.Len(t, all, 11)
	require.Equal(t, []string{"ord_back", "ord_card", "ord_live", "ord_part", "ord_soon"}, open)

	// The sagas are read once, not for each order.
	rows, err = h.order.Query(t.Context(), "explain "+string(statement), nil)
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	text := strings.Join(plan, "\n")
	require.Equal(t, 1, strings.Count(text, " on saga"), text)
	require.Less(t, strings.Index(text, " on saga"), strings.Index(text, " on orders"), text)
}
