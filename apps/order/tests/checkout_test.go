package tests

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
	"souk/apps/order/internal/service"
	cartv1 "souk/gen/go/souk/cart/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/identity"
	"souk/pkg/money"
)

func TestCheckout(t *testing.T) {
	t.Parallel()
	k := setup(t, func(_ *service.Sagas, d *service.Deps) {
		d.ShippingRates = map[money.Currency]money.Money{"BRL": money.New(500, "BRL")}
	})
	c := k.shopping()
	o, err := k.checkout(c, "key-1", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	require.Equal(t, "confirmed", o.GetStatus())
	require.Equal(t, "49.99", o.GetSubtotal().GetAmount())
	require.Equal(t, "10.00", o.GetShipping().GetAmount())
	require.Equal(t, "59.99", o.GetTotal().GetAmount())
	require.Equal(t, "authorized", o.GetPayment().GetStatus())
	require.Len(t, o.GetShopOrders(), 2)
	require.Equal(t, "35.00", o.GetShopOrders()[0].GetTotal().GetAmount())
	require.Equal(t, "confirmed", o.GetShopOrders()[1].GetStatus())
	k.ended()
	k.paid(o.GetId(), "captured", 3)

	got, err := k.client.GetOrder(k.as(c), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.NoError(t, err)
	require.Equal(t, "captured", got.GetOrder().GetPayment().GetStatus())
	// But for the payment it is what the checkout answered.
	o.Payment, o.UpdatedAt = got.GetOrder().GetPayment(), got.GetOrder().GetUpdatedAt()
	require.Equal(t, o.String(), got.GetOrder().String())
	require.Equal(t, []string{"evt.order.created", "evt.order.confirmed"}, k.events(o.GetId()))
	require.EqualValues(t, 999_997, k.onHand["var_a"])
	require.Empty(t, k.carts[c.ID])
	k.clean()
}

func TestOneKeyManyRequests(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	var mu sync.Mutex
	ids := map[string]int{}
	for i, err := range together(100, func(int) error {
		o, err := k.checkout(c, "the key", checkoutRequest("tok_ok"))
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
	k.ended()
	for _, what := range []string{"reserve", "authorize", "capture", "commit", "clear"} {
		require.Equal(t, 1, k.count(k.moved, what), what)
	}
	k.clean()
}

func TestCheckoutsOfOneMomentGoTogether(t *testing.T) {
	t.Parallel()
	k := setup(t)
	customers := make([]identity.Actor, 40)
	for i := range customers {
		customers[i] = k.shopping()
	}
	for _, err := range together(len(customers), func(i int) error {
		_, err := k.checkout(customers[i], "key", checkoutRequest("tok_ok"))
		return err
	}) {
		require.NoError(t, err)
	}
	k.ended()
	require.Greater(t, k.cohort, 1)
	k.clean()
}

func TestRetries(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	o, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	k.ended()
	for _, lines := range [][]*cartv1.Line{nil, {line("var_a", 1)}, {line("var_b", 2_000_000)}} { // empty, new things, more than there is
		k.fill(c.ID, lines...)
		again, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
		require.NoError(t, err)
		require.Equal(t, o.GetId(), again.GetId())
	}
	k.fill(c.ID)
	_, err = k.checkout(c, "k", checkoutRequest("tok_slow"))
	require.True(t, errs.Is(err, errs.IdempotencyMismatch), "%v", err)
	_, err = k.checkout(c, "another", checkoutRequest("tok_ok"))
	require.True(t, errs.Is(err, errs.CartEmpty), "%v", err)
	// Another customer's key is another key.
	other := k.shopping()
	third, err := k.checkout(other, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	require.NotEqual(t, o.GetId(), third.GetId())
	k.clean()
}

func TestDeclined(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"tok_declined", "tok_insufficient_funds"} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			c := k.shopping()
			for range 2 { // the retry gets the same refusal
				_, err := k.checkout(c, "k", checkoutRequest(token))
				require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
				require.Equal(t, "the payment was declined", errs.From(err).Message)
			}
			require.Equal(t, 1, k.count(k.asked, "Authorize"))
			list, err := k.client.ListOrders(k.as(c), &orderv1.ListOrdersRequest{})
			require.NoError(t, err)
			require.Empty(t, list.GetOrders(), "it never was an order")
			var orderID, code string
			require.NoError(t, k.pool.QueryRow(t.Context(), `select id, cancel_code from orders`).Scan(&orderID, &code))
			require.Equal(t, "payment_declined", code)
			o, err := k.client.GetOrder(k.as(c), &orderv1.GetOrderRequest{Id: orderID})
			require.NoError(t, err)
			require.Equal(t, "cancelled", o.GetOrder().GetStatus())
			require.Equal(t, "failed", o.GetOrder().GetPayment().GetStatus())
			require.Equal(t, []string{"evt.order.created", "evt.order.cancelled"}, k.events(orderID))
			require.NotEmpty(t, k.carts[c.ID], "the cart stays")
			k.clean()
		})
	}
}

func TestStockRunsOut(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.offer("var_few", "shp_1", "5.00", 10)
	customers := make([]identity.Actor, 200)
	for i := range customers {
		customers[i] = user(strings.Repeat("x", i+1))
		k.fill(customers[i].ID, line("var_few", 1))
	}
	confirmed := 0
	for _, err := range together(len(customers), func(i int) error {
		_, err := k.checkout(customers[i], "k", checkoutRequest("tok_ok"))
		return err
	}) {
		if err == nil {
			confirmed++
			continue
		}
		require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	}
	require.Equal(t, 10, confirmed)
	k.clean()
	require.Zero(t, k.onHand["var_few"])
	require.Equal(t, 10, k.moved["capture"])
}

func TestLostAnswersAreAskedForAgain(t *testing.T) {
	t.Parallel()
	k := setup(t)
	lost := errs.New(errs.Timeout, "no answer")
	for _, m := range []string{"ReserveInventory", "Authorize", "Capture", "CommitInventory", "RemoveOrdered"} {
		k.fail[m] = []error{lost, errs.New(errs.Unavailable, "down")}
	}
	o, err := k.checkout(k.shopping(), "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	k.clean()
	require.Equal(t, "captured", k.money[o.GetId()].GetStatus())
	require.Equal(t, 1, k.moved["capture"])
}

func TestFaultOfOursFreesTheKey(t *testing.T) {
	t.Parallel()
	k := setup(t, func(s *service.Sagas, _ *service.Deps) { s.Deadline = 50e6 })
	c := k.shopping()
	k.mu.Lock()
	for range 1000 {
		k.fail["Authorize"] = append(k.fail["Authorize"], errs.New(errs.Unavailable, "down"))
	}
	k.mu.Unlock()
	_, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "%v", err)
	require.NotZero(t, errs.From(err).RetryAfter)
	k.ended()
	k.mu.Lock()
	k.fail["Authorize"] = nil
	k.mu.Unlock()
	_, err = k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err, "the same key goes on")
	k.clean()
}

func TestCheckoutDiesAnywhere(t *testing.T) {
	// Not parallel: failpoints are the process's.
	for _, point := range order.Failpoints() {
		if !strings.HasPrefix(point, "checkout.") {
			continue
		}
		for _, token := range []string{"tok_ok", "tok_declined"} {
			t.Run(point+"/"+token, func(t *testing.T) {
				k := setup(t)
				c := k.shopping()
				t.Cleanup(failpoint.Enable(point, failpoint.Error(errs.New(errs.Unavailable, "died")).Times(1)))
				o, err := k.checkout(c, "k", checkoutRequest(token))
				if err != nil {
					o, err = k.checkout(c, "k", checkoutRequest(token))
				}
				if token == "tok_ok" {
					require.NoError(t, err)
					k.clean()
					require.Equal(t, "captured", k.money[o.GetId()].GetStatus())
					require.Equal(t, 1, k.moved["capture"])
				} else {
					require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
					k.clean()
					require.Zero(t, k.moved["capture"])
				}
			})
		}
	}
}

func TestBadCheckouts(t *testing.T) {
	t.Parallel()
	k := setup(t)
	long := strings.Repeat("x", 400)
	for name, c := range map[string]struct {
		change func(*orderv1.CheckoutRequest)
		key    string
		code   errs.Code
		path   string
	}{
		"no key":             {nil, "-", errs.Invalid, "Idempotency-Key"},
		"a huge key":         {nil, long, errs.Invalid, "Idempotency-Key"},
		"no address":         {func(r *orderv1.CheckoutRequest) { r.ShippingAddress = nil }, "", errs.Invalid, "shippingAddress"},
		"no name":            {func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Name = "" }, "", errs.Invalid, "shippingAddress.name"},
		"a blank name":       {func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Name = "  " }, "", errs.Invalid, "shippingAddress.name"},
		"a long line":        {func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Line1 = long }, "", errs.Invalid, "shippingAddress.line1"},
		"no such country":    {func(r *orderv1.CheckoutRequest) { r.ShippingAddress.CountryCode = "XX" }, "", errs.Invalid, "shippingAddress.countryCode"},
		"a country's name":   {func(r *orderv1.CheckoutRequest) { r.ShippingAddress.CountryCode = "Brasil" }, "", errs.Invalid, "shippingAddress.countryCode"},
		"a NUL":              {func(r *orderv1.CheckoutRequest) { r.ShippingAddress.City = "a\x00b" }, "", errs.Invalid, "shippingAddress.city"},
		"no payment":         {func(r *orderv1.CheckoutRequest) { r.Payment = nil }, "", errs.Invalid, "payment"},
		"an unknown method":  {func(r *orderv1.CheckoutRequest) { r.Payment.Method = "shells" }, "", errs.Invalid, "payment.method"},
		"no token":           {func(r *orderv1.CheckoutRequest) { r.Payment.Token = "" }, "", errs.Invalid, "payment.token"},
		"cash with a token":  {func(r *orderv1.CheckoutRequest) { r.Payment.Method = "cod" }, "", errs.Invalid, "payment.token"},
		"a card number":      {func(r *orderv1.CheckoutRequest) { r.Payment.Token = "4242-4242-4242-4242" }, "", errs.CardNumberRefused, ""},
		"a card in the name": {func(r *orderv1.CheckoutRequest) { r.ShippingAddress.Name = "Ana 4242424242424242" }, "", errs.CardNumberRefused, ""},
		"a voucher":          {func(r *orderv1.CheckoutRequest) { r.VoucherCodes = []string{"SAVE10"} }, "", errs.VoucherInvalid, "voucherCodes[0]"},
		"no email":           {func(r *orderv1.CheckoutRequest) { r.Email = "nobody" }, "", errs.Invalid, "email"},
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
			_, err := k.checkout(user("bad"), key, r)
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
		_, err := k.checkout(user("phone"), "k", r)
		require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	})
}

func TestBadCarts(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.offer("var_a", "shp_1", "10.00", 5)
	k.offer("var_dear", "shp_1", "92233720368547758.07", 50)
	k.offer("var_free", "shp_1", "0.00", 50)
	k.offer("var_usd", "shp_2", "10.00", 5)
	k.offers["var_usd"].Price = &moneyv1.Money{CurrencyCode: "USD", Amount: "10.00"}
	k.offer("var_gone", "shp_2", "10.00", 5)
	k.offers["var_gone"].ForSale = false
	many := make([]*cartv1.Line, 501)
	for i := range many {
		many[i] = line("var_a", 1)
	}
	k.onHand["var_many"] = 1 << 40
	k.offer("var_many", "shp_1", "0.01", 1<<40)
	for name, c := range map[string]struct {
		lines []*cartv1.Line
		code  errs.Code
		path  string
	}{
		"empty":                     {nil, errs.CartEmpty, ""},
		"unknown":                   {[]*cartv1.Line{line("var_none", 1)}, errs.OutOfStock, "items.var_none"},
		"not for sale":              {[]*cartv1.Line{line("var_gone", 1)}, errs.OutOfStock, "items.var_gone"},
		"more than there are":       {[]*cartv1.Line{line("var_a", 6)}, errs.OutOfStock, "items.var_a"},
		"two currencies":            {[]*cartv1.Line{line("var_a", 1), line("var_usd", 1)}, errs.Unprocessable, "items.var_usd.unitPrice.currencyCode"},
		"too large a total":         {[]*cartv1.Line{line("var_dear", 2)}, errs.Unprocessable, ""},
		"too large a sum":           {[]*cartv1.Line{line("var_dear", 1), line("var_a", 1)}, errs.Unprocessable, ""},
		"for nothing":               {[]*cartv1.Line{line("var_free", 1)}, errs.Unprocessable, ""},
		"too many lines":            {many, errs.Unprocessable, ""},
		"an absurd quantity":        {[]*cartv1.Line{line("var_many", 10_000)}, errs.Unprocessable, "items.var_many.quantity"},
		"a quantity below one":      {[]*cartv1.Line{line("var_many", 0)}, errs.Unprocessable, "items.var_many.quantity"},
		"a quantity far below zero": {[]*cartv1.Line{line("var_many", -5)}, errs.Unprocessable, "items.var_many.quantity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			who := user(strings.ReplaceAll(name, " ", "_"))
			k.fill(who.ID, c.lines...)
			_, err := k.checkout(who, "k", checkoutRequest("tok_ok"))
			require.Equal(t, c.code, errs.CodeOf(err), "%v", err)
			if c.path != "" {
				require.Equal(t, c.path, errs.From(err).Fields[0].Path)
			}
		})
	}
}

func TestGuests(t *testing.T) {
	t.Parallel()
	k := setup(t)
	guest := identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	k.offer("var_a", "shp_1", "10.00", 5)
	k.fill(guest.ID, line("var_a", 1))
	_, err := k.checkout(guest, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
	require.Equal(t, "email", errs.From(err).Fields[0].Path)
	r := checkoutRequest("tok_ok")
	r.Email = "ana@example.com"
	o, err := k.checkout(guest, "k", r)
	require.NoError(t, err)
	_, err = k.client.GetOrder(k.as(guest), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.NoError(t, err)
	_, err = k.client.GetOrder(k.as(user("other")), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	_, err = k.checkout(identity.Anonymous(), "k", r)
	require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), "%v", err)
	k.clean()
}
