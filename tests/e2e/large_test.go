package e2e

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/waittest"
)

// maxLines is how many lines a cart may have.
const maxLines = 100

// largeOrder returns lines of the real order with the most lines, without returns and gifts.
func largeOrder(t *testing.T) (quantities, pence []int) {
	orders := map[string][]map[string]string{}
	for _, row := range table(t, dataDir(t), "online-retail", "order_lines.csv") {
		orders[row["invoice_no"]] = append(orders[row["invoice_no"]], row)
	}
	var largest []map[string]string
	for _, lines := range orders {
		if len(lines) > len(largest) {
			largest = lines
		}
	}
	for _, row := range largest {
		quantity, err := strconv.Atoi(row["quantity"])
		require.NoError(t, err)
		price, err := strconv.ParseFloat(row["unit_price_gbp"], 64)
		require.NoError(t, err)
		if quantity > 0 && price > 0 && len(pence) < maxLines {
			quantities, pence = append(quantities, quantity), append(pence, int(math.Round(price*100)))
		}
	}
	require.Len(t, pence, maxLines)
	return quantities, pence
}

func pounds(pence int) obj {
	return obj{"currencyCode": "GBP", "amount": fmt.Sprintf("%d.%02d", pence/100, pence%100)}
}

func penceOf(t testing.TB, m moneyJSON) int {
	t.Helper()
	require.Equal(t, "GBP", m.CurrencyCode)
	amount, err := strconv.ParseFloat(m.Amount, 64)
	require.NoError(t, err)
	return int(math.Round(amount * 100))
}

// testLargeCart buys a real wholesale order from three shops, with a voucher of each kind, and cancels it shop by shop.
func testLargeCart(t *testing.T, s *souk) {
	quantities, prices := largeOrder(t)
	shops := []string{handle("large"), handle("large"), handle("large")}
	sellers := make([]*client, len(shops))
	for i, shop := range shops {
		sellers[i] = s.seller(shop)
	}
	c := s.user(email("large"), "customer")
	sum := 0
	for i, quantity := range quantities {
		shop := i % len(shops)
		var p productJSON
		sellers[shop].post("/v1/shops/"+shops[shop]+"/products", obj{
			"title": fmt.Sprintf("Wholesale %d", i),
			"variants": []obj{{
				"sku": fmt.Sprintf("%s-%d", shops[shop], i), "price": pounds(prices[i]), "onHand": quantity,
			}},
		}).want(http.StatusCreated).into(&p)
		c.add(p.Variants[0].ID, quantity).want(http.StatusOK)
		sum += quantity * prices[i]
	}
	var q quoteJSON
	c.post("/v1/cart:quote", obj{}).want(http.StatusOK).into(&q)
	require.Equal(t, sum, penceOf(t, q.Total))

	operator, market := s.user(email("operator"), "operator"), handle("wholesale")
	codes := []string{"SEVEN", "FOURTH", market}
	sellers[0].post("/v1/shops/"+shops[0]+"/vouchers", obj{
		"code": codes[0], "title": "7.5 % off", "kind": "percent", "percent": "7.5", "stackable": true,
	}).want(http.StatusCreated)
	sellers[1].post("/v1/shops/"+shops[1]+"/vouchers", obj{
		"code": codes[1], "title": "The fourth is free", "kind": "buy_x_get_y", "buyQuantity": 3, "getQuantity": 1,
		"stackable": true,
	}).want(http.StatusCreated)
	operator.post("/v1/operator/vouchers", obj{
		"code": market, "title": "Ten pounds off", "kind": "fixed_amount", "amount": pounds(1000), "stackable": true,
	}).want(http.StatusCreated)
	c.post("/v1/cart:quote", obj{"voucherCodes": codes}).want(http.StatusOK).into(&q)
	require.Empty(t, q.RejectedVouchers)
	require.Len(t, q.Lines, maxLines)
	split, perCode := 0, map[string]int{}
	for _, line := range q.Lines {
		for _, d := range line.Discounts {
			split += penceOf(t, d.Amount)
			perCode[d.Code] += penceOf(t, d.Amount)
		}
	}
	require.Equal(t, penceOf(t, q.Discount), split, "the discounts of the lines add up")
	require.Equal(t, sum-split, penceOf(t, q.Total))
	require.Len(t, perCode, len(codes), "each voucher lowers the price: %v", perCode)

	body := checkoutBody("tok_ok")
	body["voucherCodes"], body["expectedTotal"] = codes, pounds(sum-split)
	o := c.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	require.Equal(t, sum-split, penceOf(t, o.Total))
	require.Len(t, o.ShopOrders, len(shops))
	paid := sum - split
	slices.Reverse(o.ShopOrders)
	for _, part := range o.ShopOrders {
		var left struct{ Remaining moneyJSON }
		waittest.Until(t, func() bool {
			a := c.post("/v1/orders/"+o.ID+":cancel", obj{"shopOrderIds": []string{part.ID}})
			if a.status != http.StatusOK {
				return false // the checkout, or the cancellation before, has not ended yet
			}
			a.into(&left)
			return true
		}, "a part is not cancelled")
		paid -= penceOf(t, part.Total)
		require.Equal(t, paid, penceOf(t, left.Remaining))
	}
	require.Zero(t, paid, "what was paid is what was paid back")
}
