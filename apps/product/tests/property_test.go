package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/pkg/errs"
	"souk/pkg/id"
)

// model is the simplest implementation of stock and reservations.
type model struct {
	onHand map[string]int64
	orders map[string]*modelOrder
}

type modelOrder struct {
	state    string
	variant  string
	quantity int64
	expires  time.Time
}

func (m *model) reserved(variant string) (n int64) {
	for _, o := range m.orders {
		if o.variant == variant && o.state == "held" {
			n += o.quantity
		}
	}
	return n
}

// The test applies random operations to a few orders and variants, and compares the responses and the stored
// stock with the model.
func TestStockMatchesTheModel(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	pool := []string{h.variant(0), h.variant(0)}
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{onHand: map[string]int64{}, orders: map[string]*modelOrder{}}
		_, err := h.Pool.Exec(ctx, `delete from reservation_line`)
		require.NoError(rt, err)
		_, err = h.Pool.Exec(ctx, `delete from reservation`)
		require.NoError(rt, err)
		for _, v := range pool {
			m.onHand[v] = rapid.Int64Range(0, 12).Draw(rt, "on hand")
			_, err := h.Pool.Exec(ctx, `update stock set on_hand = $2, reserved = 0 where variant_id = $1`, v,
				m.onHand[v])
			require.NoError(rt, err)
		}
		var orders []string
		for range 4 {
			orders = append(orders, id.New(id.Order))
		}
		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			orderID := rapid.SampledFrom(orders).Draw(rt, "order")
			o := m.orders[orderID]
			switch rapid.SampledFrom([]string{"reserve", "reserve", "release", "commit", "restock", "expire"}).
				Draw(rt, "step") {
			case "reserve":
				v, n := rapid.SampledFrom(pool).Draw(rt, "variant"), rapid.Int64Range(1, 6).Draw(rt, "quantity")
				var want errs.Code
				switch {
				case o != nil && (o.variant != v || o.quantity != n || o.state != "held" && o.state != "committed"):
					want = errs.Conflict
				case o == nil && m.onHand[v]-m.reserved(v) < n:
					want = errs.OutOfStock
				case o == nil:
					m.orders[orderID] = &modelOrder{
						state:    "held",
						variant:  v,
						quantity: n,
						expires:  h.clock.Now().Add(time.Minute),
					}
				}
				require.Equal(rt, want, errs.CodeOf(h.reserve(orderID, line(v, n))))
			case "release":
				var want errs.Code
				switch {
				case o == nil:
					m.orders[orderID] = &modelOrder{state: "tombstone"}
				case o.state == "committed":
					want = errs.Conflict
				case o.state == "held" || o.state == "expired":
					o.state = "released"
				}
				require.Equal(rt, want, errs.CodeOf(h.release(orderID)))
			case "commit":
				var want errs.Code
				switch {
				case o == nil:
					want = errs.NotFound
				case o.state == "held", o.state == "expired" && m.onHand[o.variant]-m.reserved(o.variant) >= o.quantity:
					m.onHand[o.variant] -= o.quantity
					o.state = "committed"
				case o.state == "expired":
					want = errs.OutOfStock
				case o.state != "committed":
					want = errs.Conflict
				}
				require.Equal(rt, want, errs.CodeOf(h.commit(orderID)))
			case "restock":
				var want errs.Code
				switch {
				case o == nil:
					want = errs.NotFound
				case o.state == "committed":
					m.onHand[o.variant] += o.quantity
					o.state = "restocked"
				case o.state != "restocked":
					want = errs.Conflict
				}
				require.Equal(rt, want, errs.CodeOf(h.restock(orderID)))
			case "expire":
				h.clock.Advance(40 * time.Second)
				for _, x := range m.orders {
					if x.state == "held" && !x.expires.After(h.clock.Now()) {
						x.state = "expired"
					}
				}
				_, err := h.store.Sweep(ctx, 100)
				require.NoError(rt, err)
			}
			for _, v := range pool {
				onHand, reserved := h.stock(v)
				require.Equal(rt, m.onHand[v], onHand)
				require.Equal(rt, m.reserved(v), reserved)
			}
		}
	})
}
