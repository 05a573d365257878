package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

type salesJSON struct {
	Days []struct {
		Day                             string
		Orders, Pieces, CancelledOrders int `json:",string"`
		Goods, Cancelled, Net           struct{ Amount, CurrencyCode string }
	}
}

// testSales sells and cancels, and sees both in the shop's sales. A rebuild leaves them as they are.
func testSales(t *testing.T, s *souk) {
	shop := handle("sales")
	seller := s.seller(shop)
	v := seller.sell(shop, "Atlas", "10.00", 50).Variants[0].ID
	ana, other := s.user(email("ana"), "customer"), s.user(email("other"), "customer")
	path := "/v1/shops/" + shop + "/sales"
	var sales salesJSON
	seller.get(path).want(http.StatusOK).into(&sales)
	require.Empty(t, sales.Days)
	ana.add(v, 3).want(http.StatusOK)
	ana.checkout("tok_ok").order()
	other.add(v, 2).want(http.StatusOK)
	order := other.checkout("tok_ok").order()
	other.post("/v1/orders/"+order.ID+":cancel", obj{}).want(http.StatusOK)

	read := func() salesJSON {
		var sales salesJSON
		waittest.Until(t, func() bool {
			seller.get(path).want(http.StatusOK).into(&sales)
			orders, cancelled := 0, 0
			for _, day := range sales.Days { // two, if midnight has passed
				orders, cancelled = orders+day.Orders, cancelled+day.CancelledOrders
			}
			return orders == 2 && cancelled == 1
		}, "the sales do not show both orders and the cancellation")
		return sales
	}
	sales = read()
	if len(sales.Days) == 1 {
		day := sales.Days[0]
		require.Equal(t, time.Now().UTC().Format(time.DateOnly), day.Day)
		require.Equal(t, 5, day.Pieces)
		require.Equal(t, "50.00", day.Goods.Amount)
		require.Equal(t, "BRL", day.Net.CurrencyCode)
		require.Equal(t, "20.00", day.Cancelled.Amount)
		require.Equal(t, "30.00", day.Net.Amount)
	}
	other.get(path).problem(http.StatusNotFound, "not_found")
	fields := seller.get(path+"?from=2026-02-30").problem(http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"from"}, fields)
	seller.get(path+"?from=2024-01-01&to=2025-06-01").problem(http.StatusBadRequest, "invalid_argument")

	require.Regexp(t, `(?m)^order\.sales +\d+ +\d+ +\S+ ago +evt\.order\.confirmed evt\.order\.cancelled `,
		s.must("projections", "ls"))
	require.Regexp(t, `^rebuilt \d+ orders in `, s.must("projections", "rebuild", "order.sales"))
	require.Equal(t, sales, read())
	require.Regexp(t, `^rebuilt \d+ shops in `, s.must("projections", "rebuild", "product.shops"))
}
