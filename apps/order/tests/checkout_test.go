package tests

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
	cartv1 "souk/gen/go/souk/cart/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
)

func TestCheckoutConfirmsTheOrder(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"shipping": map[string]any{"BRL": "5.00"}})
	c := h.newCustomer()
	o, err := h.checkout(c, "key-1", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	require.Equal(t, "confirmed", o.GetStatus())
	require.Equal(t, "49.99", o.GetSubtotal().GetAmount())
	require.Equal(t, "10.00", o.GetShipping().GetAmount())
	require.Equal(t, "59.99", o.GetTotal().GetAmount())
	require.Equal(t, "authorized", o.GetPayment().GetStatus())
	require.Len(t, o.GetShopOrders(), 2)
	require.Equal(t, "35.00", o.GetShopOrders()[0].GetTotal().GetAmount())
	require.Equal(t, "confirmed", o.GetShopOrders()[1].GetStatus())
	h.waitForSagas()
	h.handlePayment(o.GetId(), "captured", 3)

	got, err := h.client.GetOrder(h.As(c), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.NoError(t, err)
	require.Equal(t, "captured", got.GetOrder().GetPayment().GetStatus())
	// Except for the payment it equals the order that the checkout returned.
	o.Payment, o.UpdatedAt = got.GetOrder().GetPayment(), got.GetOrder().GetUpdatedAt()
	require.Equal(t, o.String(), got.GetOrder().String())
	require.Equal(t, []string{"evt.order.created", "evt.order.confirmed"}, h.Events(o.GetId()))
	require.EqualValues(t, 999_997, h.onHand["var_a"])
	require.Empty(t, h.carts[c.ID])
	require.InDelta(t, 59.99, h.Metric("checkout_amount_total"), 0.001)
	h.requireConsistent()
}

func TestManyRequestsWithOneKeyPlaceOneOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	var mu sync.Mutex
	ids := map[string]int{}
	for i, err := range moduletest.Concurrently(100, func(int) error {
		o, err := h.checkout(c, "the key", checkoutRequest("tok_ok"))
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			ids[o.GetId()]++
		}
		return err
	}) {
		require.True(t, err == nil || errs.Is(err, errs.IdempotencyInFlight), "%d: %v", i, err)
	}
	require.Len(t, ids, 1)
	h.waitForSagas()
	for _, what := range []string{"reserve", "authorize", "capture", "commit", "clear"} {
		require.Equal(t, 1, h.count(h.moved, what), what)
	}
	h.requireConsistent()
}

func TestManyCheckoutsAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	customers := make([]identity.Actor, 40)
	for i := range customers {
		customers[i] = h.newCustomer()
	}
	for _, err := range moduletest.Concurrently(len(customers), func(i int) error {
		_, err := h.checkout(customers[i], "key", checkoutRequest("tok_ok"))
		return err
	}) {
		require.NoError(t, err)
	}
	h.waitForSagas()
	h.requireConsistent()
}

func TestRetryReturnsTheOrderWhateverTheCartHolds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	h.waitForSagas()
	// The cart is empty, has other items, or more than is available.
	for _, lines := range [][]*cartv1.Line{nil, {line("var_a", 1)}, {line("var_b", 2_000_000)}} {
		h.fill(c.ID, lines...)
		again, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
		require.NoError(t, err)
		require.Equal(t, o.GetId(), again.GetId())
	}
	h.fill(c.ID)
	_, err = h.checkout(c, "k", checkoutRequest("tok_slow"))
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	_, err = h.checkout(c, "another", checkoutRequest("tok_ok"))
	require.True(t, errs.Is(err, errs.CartEmpty), "%v", err)
	// Another customer's key is another key.
	other := h.newCustomer()
	third, err := h.checkout(other, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	require.NotEqual(t, o.GetId(), third.GetId())
	h.requireConsistent()
}

func TestDeclinedPaymentRefusesTheCheckout(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"tok_declined", "tok_insufficient_funds"} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			c := h.newCustomer()
			for range 2 { // the retry gets the same refusal
				_, err := h.checkout(c, "k", checkoutRequest(token))
				require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
				require.Equal(t, "the payment was declined", errs.From(err).Message)
			}
			require.Equal(t, 1, h.count(h.asked, "Authorize"))
			list, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{})
			require.NoError(t, err)
			require.Empty(t, list.GetOrders(), "it was never confirmed")
			var orderID, code string
			require.NoError(t, h.Pool.QueryRow(t.Context(), `select id, cancel_code from orders`).Scan(&orderID, &code))
			require.Equal(t, "payment_declined", code)
			o, err := h.client.GetOrder(h.As(c), &orderv1.GetOrderRequest{Id: orderID})
			require.NoError(t, err)
			require.Equal(t, "cancelled", o.GetOrder().GetStatus())
			require.Equal(t, "failed", o.GetOrder().GetPayment().GetStatus())
			require.Equal(t, []string{"evt.order.created", "evt.order.cancelled"}, h.Events(orderID))
			require.NotEmpty(t, h.carts[c.ID], "the cart stays")
			h.requireConsistent()
		})
	}
}

func TestStockIsNeverOversold(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.offer("var_few", "shp_1", "5.00", 10)
	customers := make([]identity.Actor, 200)
	for i := range customers {
		customers[i] = user(strings.Repeat("x", i+1))
		h.fill(customers[i].ID, line("var_few", 1))
	}
	confirmed := 0
	for _, err := range moduletest.Concurrently(len(customers), func(i int) error {
		_, err := h.checkout(customers[i], "k", checkoutRequest("tok_ok"))
		return err
	}) {
		if err == nil {
			confirmed++
			continue
		}
		require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	}
	require.Equal(t, 10, confirmed)
	h.requireConsistent()
	require.Zero(t, h.onHand["var_few"])
	require.Equal(t, 10, h.moved["capture"])
}

func TestStepsWithUnknownOutcomeAreRetried(t *testing.T) {
	t.Parallel()
	h := setup(t)
	lost := errs.New(errs.Timeout, "no answer")
	for _, m := range []string{"ReserveInventory", "Authorize", "Capture", "CommitInventory", "RemoveOrdered"} {
		h.fail[m] = []error{lost, errs.New(errs.Unavailable, "down")}
	}
	o, err := h.checkout(h.newCustomer(), "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	h.requireConsistent()
	require.Equal(t, "captured", h.money[o.GetId()].GetStatus())
	require.Equal(t, 1, h.moved["capture"])
}

func TestFaultOfOursFreesTheKey(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"deadline": "50ms"})
	c := h.newCustomer()
	h.mu.Lock()
	for range 1000 {
		h.fail["Authorize"] = append(h.fail["Authorize"], errs.New(errs.Unavailable, "down"))
	}
	h.mu.Unlock()
	_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "%v", err)
	require.NotZero(t, errs.From(err).RetryAfter)
	h.waitForSagas()
	h.mu.Lock()
	h.fail["Authorize"] = nil
	h.mu.Unlock()
	_, err = h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err, "the same key works again")
	h.requireConsistent()
}

func TestCheckoutSurvivesFailuresAtEveryFailpoint(t *testing.T) {
	// Not parallel: failpoints are global to the process.
	for _, point := range order.Failpoints() {
		if !strings.HasPrefix(point, "checkout.") {
			continue
		}
		for _, token := range []string{"tok_ok", "tok_declined"} {
			t.Run(point+"/"+token, func(t *testing.T) {
				h := setup(t)
				c := h.newCustomer()
				t.Cleanup(failpoint.Enable(point, failpoint.Error(errs.New(errs.Unavailable, "died")).Times(1)))
				o, err := h.checkout(c, "k", checkoutRequest(token))
				if err != nil {
					o, err = h.checkout(c, "k", checkoutRequest(token))
				}
				if token == "tok_ok" {
					require.NoError(t, err)
					h.requireConsistent()
					require.Equal(t, "captured", h.money[o.GetId()].GetStatus())
					require.Equal(t, 1, h.moved["capture"])
				} else {
					require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
					h.requireConsistent()
					require.Zero(t, h.moved["capture"])
				}
			})
		}
	}
}

func TestInvalidCheckoutsAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	long := strings.Repeat("x", 400)
	for name, c := range map[string]struct {
		change func(*orderv1.CheckoutRequest)
		key    string
		code   errs.Code
		path   string
	}{
		"no key":     {nil, "-", errs.Invalid, "Idempotency-Key"},
		"a huge key": {nil, long, errs.Invalid, "Idempotency-Key"},
		"no address": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress = nil }, "", errs.Invalid, "shippingAddress",
		},
		"no name": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Name = "" }, "", errs.Invalid,
			"shippingAddress.name",
		},
		"a blank name": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Name = "  " }, "", errs.Invalid,
			"shippingAddress.name",
		},
		"a long line": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Line1 = long }, "", errs.Invalid,
			"shippingAddress.line1",
		},
		"no such country": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress.CountryCode = "XX" }, "", errs.Invalid,
			"shippingAddress.countryCode",
		},
		"a country's name": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress.CountryCode = "Brasil" }, "", errs.Invalid,
			"shippingAddress.countryCode",
		},
		"a NUL": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress.City = "a\x00b" }, "", errs.Invalid,
			"shippingAddress.city",
		},
		"no payment": {func(r *orderv1.CheckoutRequest) { r.Payment = nil }, "", errs.Invalid, "payment"},
		"an unknown method": {
			func(r *orderv1.CheckoutRequest) { r.Payment.Method = "shells" }, "", errs.Invalid, "payment.method",
		},
		"no token": {
			func(r *orderv1.CheckoutRequest) { r.Payment.Token = "" }, "", errs.Invalid, "payment.token",
		},
		"cash with a token": {
			func(r *orderv1.CheckoutRequest) { r.Payment.Method = "cod" }, "", errs.Invalid, "payment.token",
		},
		"a card number": {
			func(r *orderv1.CheckoutRequest) { r.Payment.Token = "4242-4242-4242-4242" }, "", errs.CardNumberRefused,
			"",
		},
		"a card in the name": {
			func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Name = "Ana 4242424242424242" }, "",
			errs.CardNumberRefused, "",
		},
		"no email": {func(r *orderv1.CheckoutRequest) { r.Email = "nobody" }, "", errs.Invalid, "email"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, key := checkoutRequest("tok_ok"), "k"
			if c.change != nil {
				c.change(r)
			}
			if c.key != "" {
				key = strings.TrimPrefix(c.key, "-")
			}
			_, err := h.checkout(user("bad"), key, r)
			require.Equal(t, c.code, errs.CodeOf(err), "%v", err)
			if c.path != "" {
				require.NotEmpty(t, errs.From(err).Fields, "%v", err)
				require.Equal(t, c.path, errs.From(err).Fields[0].Path)
			}
		})
	}
	t.Run("a phone number that passes for a card", func(t *testing.T) {
		t.Parallel()
		r := checkoutRequest("tok_ok")
		r.ShippingAddress.Phone = "5511987654326"
		_, err := h.checkout(user("phone"), "k", r)
		require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	})
}

func TestCheckoutRefusesInvalidCarts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.offer("var_a", "shp_1", "10.00", 5)
	h.offer("var_dear", "shp_1", "92233720368547758.07", 50)
	h.offer("var_free", "shp_1", "0.00", 50)
	h.offer("var_usd", "shp_2", "10.00", 5)
	h.offers["var_usd"].Price = &moneyv1.Money{CurrencyCode: "USD", Amount: "10.00"}
	h.offer("var_gone", "shp_2", "10.00", 5)
	h.offers["var_gone"].ForSale = false
	many := make([]*cartv1.Line, 501)
	for i := range many {
		many[i] = line("var_a", 1)
	}
	h.onHand["var_many"] = 1 << 40
	h.offer("var_many", "shp_1", "0.01", 1<<40)
	for name, c := range map[string]struct {
		lines []*cartv1.Line
		code  errs.Code
		path  string
	}{
		"empty":               {nil, errs.CartEmpty, ""},
		"unknown":             {[]*cartv1.Line{line("var_none", 1)}, errs.OutOfStock, "items.var_none"},
		"not for sale":        {[]*cartv1.Line{line("var_gone", 1)}, errs.OutOfStock, "items.var_gone"},
		"more than there are": {[]*cartv1.Line{line("var_a", 6)}, errs.OutOfStock, "items.var_a"},
		"two currencies": {
			[]*cartv1.Line{line("var_a", 1), line("var_usd", 1)}, errs.Unprocessable,
			"items.var_usd.unitPrice.currencyCode",
		},
		"too large a total": {[]*cartv1.Line{line("var_dear", 2)}, errs.Unprocessable, ""},
		"too large a sum":   {[]*cartv1.Line{line("var_dear", 1), line("var_a", 1)}, errs.Unprocessable, ""},
		"for nothing":       {[]*cartv1.Line{line("var_free", 1)}, errs.Unprocessable, ""},
		"too many lines":    {many, errs.Unprocessable, ""},
		"an absurd quantity": {
			[]*cartv1.Line{line("var_many", 10_000)}, errs.Unprocessable, "items.var_many.quantity",
		},
		"a quantity below one": {
			[]*cartv1.Line{line("var_many", 0)}, errs.Unprocessable, "items.var_many.quantity",
		},
		"a quantity far below zero": {
			[]*cartv1.Line{line("var_many", -5)}, errs.Unprocessable, "items.var_many.quantity",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			who := user(strings.ReplaceAll(name, " ", "_"))
			h.fill(who.ID, c.lines...)
			_, err := h.checkout(who, "k", checkoutRequest("tok_ok"))
			require.Equal(t, c.code, errs.CodeOf(err), "%v", err)
			if c.path != "" {
				require.Equal(t, c.path, errs.From(err).Fields[0].Path)
			}
		})
	}
}

func TestCheckoutNamesEveryLineOfAnotherCurrency(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, v := range []string{"var_1", "var_2", "var_3"} {
		h.offer(v, "shp_1", "10.00", 5)
	}
	h.offers["var_1"].Price.CurrencyCode, h.offers["var_3"].Price.CurrencyCode = "EUR", "USD"
	h.currency = "BRL"
	c := user("c")
	h.fill(c.ID, line("var_1", 1), line("var_2", 1), line("var_3", 1))
	for range 2 {
		_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
		require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%v", err)
		require.Equal(t, []errs.Field{
			{Path: "items.var_1.unitPrice.currencyCode", Message: "is EUR, but the cart is in BRL: remove the item"},
			{Path: "items.var_3.unitPrice.currencyCode", Message: "is USD, but the cart is in BRL: remove the item"},
		}, errs.From(err).Fields)
	}
}

func TestGuestsCheckOutWithAnEmail(t *testing.T) {
	t.Parallel()
	h := setup(t)
	guest := identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	h.offer("var_a", "shp_1", "10.00", 5)
	h.fill(guest.ID, line("var_a", 1))
	_, err := h.checkout(guest, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
	require.Equal(t, "email", errs.From(err).Fields[0].Path)
	r := checkoutRequest("tok_ok")
	r.Email = "ana@example.com"
	o, err := h.checkout(guest, "k", r)
	require.NoError(t, err)
	_, err = h.client.GetOrder(h.As(guest), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.NoError(t, err)
	_, err = h.client.GetOrder(h.As(user("other")), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	_, err = h.checkout(identity.Anonymous(), "k", r)
	require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), "%v", err)
	h.requireConsistent()
}

// The confirmation goes to whatever address the caller gives, so nothing in it may be a link of the caller's.
func TestCheckoutTakesNoWebAddresses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for path, change := range map[string]func(*orderv1.ShippingAddress){
		"shippingAddress.name":   func(a *orderv1.ShippingAddress) { a.Name = "You won! evil.com/prize" },
		"shippingAddress.line1":  func(a *orderv1.ShippingAddress) { a.Line1 = "https://evil.example" },
		"shippingAddress.line2":  func(a *orderv1.ShippingAddress) { a.Line2 = "ｗｗｗ.evil.com" },
		"shippingAddress.city":   func(a *orderv1.ShippingAddress) { a.City = "evil。com" },
		"shippingAddress.region": func(a *orderv1.ShippingAddress) { a.Region = "bit.ly/3xYz" },
	} {
		r := checkoutRequest("tok_ok")
		change(r.GetShippingAddress())
		_, err := h.checkout(h.newCustomer(), id.New(id.Event), r)
		require.True(t, errs.Is(err, errs.Invalid), path)
		require.Equal(t, path, errs.From(err).Fields[0].Path)
	}
}
