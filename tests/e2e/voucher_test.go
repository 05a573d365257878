package e2e

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/waittest"
)

type voucherJSON struct {
	ID, Code, Status, Used string
	Spent                  moneyJSON
}

type quoteJSON struct {
	Lines []struct {
		VariantID string
		Total     moneyJSON
		Discounts []struct {
			Code   string
			Amount moneyJSON
		}
	}
	Discount, Total  moneyJSON
	RejectedVouchers []struct{ Code, Reason string }
}

func brl(amount string) obj { return obj{"currencyCode": "BRL", "amount": amount} }

// testVouchers buys from two shops with vouchers of a shop and of the marketplace, cancels one part and then all of it.
func testVouchers(t *testing.T, s *souk) {
	first, second, code := handle("voucher"), handle("voucher"), handle("market")
	seller, other, operator := s.seller(first), s.seller(second), s.user(email("operator"), "operator")
	a := seller.sell(first, "Chair", "10.01", 100).Variants[0].ID
	b := other.sell(second, "Lamp", "33.33", 100).Variants[0].ID
	var ofShop, ofMarket voucherJSON
	seller.post("/v1/shops/"+first+"/vouchers", obj{
		"code": "three", "title": "One of three", "kind": "buy_x_get_y", "buyQuantity": 2, "getQuantity": 1,
		"stackable": true,
	}).want(http.StatusCreated).into(&ofShop)
	operator.post("/v1/operator/vouchers", obj{
		"code": code, "title": "Third off", "kind": "percent", "percent": "33.3", "stackable": true,
		"limits": obj{"usesPerCustomer": 1},
	}).want(http.StatusCreated).into(&ofMarket)

	c := s.user(email("voucher"), "customer")
	c.add(a, 3).want(http.StatusOK)
	c.add(b, 1).want(http.StatusOK)
	var q quoteJSON
	codes := []string{"THREE", code, "NONE"}
	c.post("/v1/cart:quote", obj{"voucherCodes": codes}).want(http.StatusOK).into(&q)
	require.Equal(t, "27.78", q.Discount.Amount, "10.01, and 33.3 % of 53.35")
	require.Equal(t, "35.58", q.Total.Amount)
	require.Len(t, q.RejectedVouchers, 1)
	require.Equal(t, "unknown", q.RejectedVouchers[0].Reason)

	body := checkoutBody("tok_ok")
	body["voucherCodes"], body["expectedTotal"] = codes, brl("35.58")
	fields := c.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).
		problem(http.StatusUnprocessableEntity, "voucher_invalid")
	require.Equal(t, []string{"voucherCodes[2]"}, fields)
	body["voucherCodes"] = codes[:2]
	o := c.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	require.Equal(t, "35.58", o.Total.Amount)

	c.add(a, 3).want(http.StatusOK)
	c.post("/v1/cart:quote", obj{"voucherCodes": codes[1:2]}).want(http.StatusOK).into(&q)
	require.Equal(t, "already_used", q.RejectedVouchers[0].Reason)

	uses := func(c *client, v voucherJSON) string {
		c.get("/v1/vouchers/" + v.ID).want(http.StatusOK).into(&v)
		return v.Used + " " + v.Spent.Amount
	}
	require.Equal(t, "1 10.01", uses(seller, ofShop))
	require.Equal(t, "1 17.77", uses(operator, ofMarket))
	other.get("/v1/vouchers/"+ofShop.ID).problem(http.StatusNotFound, "not_found")
	cancel := func(reason string, parts ...string) string {
		var o struct{ Remaining moneyJSON }
		waittest.Until(t, func() bool {
			a := c.post("/v1/orders/"+reason+":cancel", obj{"shopOrderIds": parts})
			if a.status != http.StatusOK {
				return false // the checkout has not ended yet
			}
			a.into(&o)
			return true
		}, "the order is not cancelled")
		return o.Remaining.Amount
	}
	require.Equal(t, "22.23", cancel(o.ID, o.ShopOrders[0].ID), "what was paid for the lamp")
	require.Equal(t, "1 17.77", uses(operator, ofMarket), "a part of the order stays")
	require.Equal(t, "0.00", cancel(o.ID))
	waittest.Until(t, func() bool { return uses(operator, ofMarket) == "0 " && uses(seller, ofShop) == "0 " },
		"the vouchers cannot be used again")
}

// testLastUses lets 400 customers use a voucher at once that can be used 50 times.
func testLastUses(t *testing.T, s *souk) {
	const customers, uses = 400, 50
	shop := handle("uses")
	seller := s.seller(shop)
	v := seller.sell(shop, "Chair", "10.00", 1000).Variants[0].ID
	var voucher voucherJSON
	seller.post("/v1/shops/"+shop+"/vouchers", obj{
		"code": "FIFTY", "title": "Half", "kind": "percent", "percent": "50", "limits": obj{"uses": uses},
	}).want(http.StatusCreated).into(&voucher)
	var ordered, refused atomic.Int64
	var wg sync.WaitGroup
	for range customers {
		c := s.guest()
		c.add(v, 1).want(http.StatusOK)
		body := checkoutBody("tok_ok")
		body["email"], body["voucherCodes"] = email("uses"), []string{"FIFTY"}
		wg.Go(func() {
			key := id.New(id.Event)
			for {
				a, err := c.do(http.MethodPost, "/v1/checkout", body, "Idempotency-Key", key)
				switch {
				case err != nil || a.status == http.StatusServiceUnavailable || a.code() == "idempotency_in_flight":
					continue
				case a.status == http.StatusCreated:
					ordered.Add(1)
				case a.code() == "voucher_invalid":
					refused.Add(1)
				default:
					t.Errorf("%d: %s", a.status, a.body)
				}
				return
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, uses, ordered.Load())
	require.EqualValues(t, customers-uses, refused.Load())
	seller.get("/v1/vouchers/" + voucher.ID).want(http.StatusOK).into(&voucher)
	require.Equal(t, "50", voucher.Used)
	require.Equal(t, "250.00", voucher.Spent.Amount)
}
