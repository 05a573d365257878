package tests

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	cartv1 "souk/gen/go/souk/cart/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// holdFirst makes the first call of method wait until goOn is called. waiting is closed when it waits.
func (h *harness) holdFirst(method string) (waiting chan struct{}, goOn func()) {
	var n atomic.Int32
	waiting, released := make(chan struct{}), make(chan struct{})
	h.before = func(m string) {
		if m == method && n.Add(1) == 1 {
			close(waiting)
			waittest.Receive(h.t, released)
		}
	}
	return waiting, func() { close(released) }
}

func TestConcurrentCheckoutsOrderACartOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"card", "cod"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			c := h.newCustomer()
			r := checkoutRequest("tok_ok")
			if r.Payment.Method = method; method == "cod" {
				r.Payment.Token = ""
			}
			var placed atomic.Int32
			for i, err := range moduletest.Concurrently(8, func(int) error {
				_, err := h.checkout(c, id.New("key"), r)
				if err == nil {
					placed.Add(1)
				}
				return err
			}) {
				require.True(
					t,
					err == nil || errs.Is(err, errs.CheckoutInProgress) || errs.Is(err, errs.CartEmpty),
					"%d: %v",
					i,
					err,
				)
			}
			require.EqualValues(t, 1, placed.Load())
			require.Equal(t, 1, h.count(h.moved, "authorize"))
			h.requireConsistent()
		})
	}
}

func TestSecondCheckoutOfACartWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	for token, second := range map[string]errs.Code{"tok_ok": errs.CartEmpty, "tok_declined": ""} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			c := h.newCustomer()
			waiting, goOn := h.holdFirst("Authorize")
			first := make(chan error, 1)
			go func() {
				_, err := h.checkout(c, "tab-one", checkoutRequest(token))
				first <- err
			}()
			waittest.Receive(t, waiting)
			_, err := h.checkout(c, "tab-two", checkoutRequest("tok_ok"))
			require.Equal(t, errs.CheckoutInProgress, errs.CodeOf(err), "%v", err)
			require.Positive(t, errs.From(err).RetryAfter)
			goOn()
			err = waittest.Receive(t, first)
			require.Equal(t, token == "tok_declined", errs.Is(err, errs.PaymentDeclined), "%v", err)
			// A refused checkout frees the cart at once, and the refusal of the second was not stored.
			_, err = h.checkout(c, "tab-two", checkoutRequest("tok_ok"))
			require.Equal(t, second, errs.CodeOf(err), "%v", err)
			require.Equal(t, 1, h.count(h.moved, "authorize"))
			h.requireConsistent()
		})
	}
}

// A checkout has read the cart before another one orders it. It must not order it again, even if a third checkout was
// refused in the meantime.
func TestCheckoutOfACartThatWasOrderedMeanwhileIsRefused(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{"": false, "with a refused checkout between": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			c := h.newCustomer()
			waiting, goOn := h.holdFirst("BatchGetVariants")
			slow := make(chan error, 1)
			go func() {
				_, err := h.checkout(c, "slow", checkoutRequest("tok_ok"))
				slow <- err
			}()
			waittest.Receive(t, waiting)
			h.confirmedOrder(c)
			if refused {
				h.fill(c.ID, line("var_a", 1))
				_, err := h.checkout(c, "refused", checkoutRequest("tok_declined"))
				require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
				h.waitForSagas()
				h.fill(c.ID)
			}
			goOn()
			err := waittest.Receive(t, slow)
			require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
			require.Equal(t, 1, h.count(h.moved, "authorize"))
			h.requireConsistent()
		})
	}
}

// The cart lost its latest change, the removal of what was ordered, together with its Redis.
func TestCartThatForgotAnOrderIsNotOrderedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	read := slices.Clone(h.carts[c.ID])
	o := h.confirmedOrder(c)
	h.mu.Lock()
	h.carts[c.ID], h.ordered[c.ID] = read, nil
	h.versions[c.ID]--
	delete(h.cleared, o.GetId())
	h.mu.Unlock()
	_, err := h.checkout(c, "again", checkoutRequest("tok_ok"))
	require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	require.Equal(t, 1, h.count(h.moved, "authorize"))

	h.fill(c.ID, line("var_a", 1))
	h.confirmedOrder(c)
	h.requireConsistent()
}

// A guest signed in while a checkout of the guest's cart is in flight: the user's cart has the same items.
func TestUsersCheckoutWaitsForThatOfTheMergedGuest(t *testing.T) {
	t.Parallel()
	h := setup(t)
	guest, c := user(id.New(id.Guest)), h.newCustomer()
	h.fill(guest.ID, line("var_a", 1))
	waiting, goOn := h.holdFirst("Authorize")
	first := make(chan error, 1)
	go func() {
		_, err := h.checkout(guest, "guest", checkoutRequest("tok_ok"))
		first <- err
	}()
	waittest.Receive(t, waiting)
	h.mu.Lock()
	h.guests[c.ID] = []string{guest.ID}
	h.mu.Unlock()
	_, err := h.checkout(c, "user", checkoutRequest("tok_ok"))
	require.Equal(t, errs.CheckoutInProgress, errs.CodeOf(err), "%v", err)
	goOn()
	require.NoError(t, waittest.Receive(t, first))
	h.waitForSagas()
	_, err = h.checkout(c, "user", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	// The guest's ID is claimed by the user's order now. A new cart of the guest can be ordered all the same.
	h.waitForSagas()
	h.fill(guest.ID, line("var_b", 1))
	h.confirmedOrder(guest)
	h.requireConsistent()
}

func TestCheckoutAtAnotherTotalThanExpectedIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"shipping": map[string]any{"BRL": "5.00"}})
	c := h.newCustomer()
	r := checkoutRequest("tok_ok")
	r.ExpectedTotal = &moneyv1.Money{CurrencyCode: "BRL", Amount: "59.99"}
	h.offer("var_a", "shp_1", "8000.00", 1_000_000)
	_, err := h.checkout(c, "k", r)
	require.Equal(t, errs.PriceChanged, errs.CodeOf(err), "%v", err)
	require.Equal(t, "expectedTotal", errs.From(err).Fields[0].Path)
	q, ok := errs.From(err).Detail.(*orderv1.Quote)
	require.True(t, ok)
	require.Equal(t, "24029.99", q.GetTotal().GetAmount())
	require.Equal(t, "10.00", q.GetShipping().GetAmount())
	require.Len(t, q.GetShops(), 2)
	require.Equal(t, "24000.00", q.GetLines()[0].GetSubtotal().GetAmount())
	require.Empty(t, h.money)
	orders, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{})
	require.NoError(t, err)
	require.Empty(t, orders.GetOrders())

	_, err = h.checkout(c, "k", r)
	require.Equal(t, errs.PriceChanged, errs.CodeOf(err), "%v", err)
	require.NotNil(t, errs.From(err).Detail, "the retry gets a quote as well")
	r.ExpectedTotal = q.GetTotal()
	_, err = h.checkout(c, "k", r)
	require.Equal(t, errs.IdempotencyMismatch, errs.CodeOf(err), "the expected total is part of the request")
	o, err := h.checkout(c, "k2", r)
	require.NoError(t, err)
	require.Equal(t, q.GetTotal().String(), o.GetTotal().String())

	for path, m := range map[string]*moneyv1.Money{
		"expectedTotal.amount":       {CurrencyCode: "BRL", Amount: "1.001"},
		"expectedTotal.currencyCode": {CurrencyCode: "XX", Amount: "1.00"},
	} {
		r.ExpectedTotal = m
		_, err = h.checkout(c, "k3", r)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
		require.Equal(t, path, errs.From(err).Fields[0].Path)
	}
}

// The cart shows such a line as unavailable and does not count it, whether or not it is the only line.
func TestLineInAnotherCurrencyThanTheCartIsNamed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.currency = "BRL"
	for _, others := range []int{0, 1} {
		c := h.newCustomer()
		h.offers["var_a"].Price = &moneyv1.Money{CurrencyCode: "EUR", Amount: "3.00"}
		h.fill(
			c.ID,
			append([]*cartv1.Line{line("var_a", 1)}, slices.Repeat([]*cartv1.Line{line("var_b", 1)}, others)...)...)
		_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
		require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%v", err)
		require.Equal(t, "items.var_a.unitPrice.currencyCode", errs.From(err).Fields[0].Path)
	}
	require.Empty(t, h.money)
}
