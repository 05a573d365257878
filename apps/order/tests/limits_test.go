package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func cash(email string) *orderv1.CheckoutRequest {
	r := checkoutRequest("")
	r.Payment.Method, r.Email = "cod", email
	return r
}

func TestCashOnDeliveryHasBounds(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"cash": map[string]any{"max_pieces": 6, "max_total": map[string]any{"BRL": "100.00"}}})
	h.offer("var_cheap", "shp_1", "1.00", 1_000_000)
	h.offer("var_dear", "shp_2", "60.00", 1_000_000)
	guest := identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	h.fill(guest.ID, line("var_cheap", 1))
	_, err := h.checkout(guest, "k", cash("a@example.com"))
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%v", err)
	require.Equal(t, "payment.method", errs.From(err).Fields[0].Path)
	paid := checkoutRequest("tok_ok")
	paid.Email = "a@example.com"
	_, err = h.checkout(guest, "k2", paid)
	require.NoError(t, err, "guests can pay at once")

	c := user("c")
	h.fill(c.ID, line("var_cheap", 4), line("var_dear", 1))
	_, err = h.checkout(c, "ok", cash(""))
	require.NoError(t, err)
	h.fill(c.ID, line("var_cheap", 4), line("var_cheap2", 3))
	h.offer("var_cheap2", "shp_2", "1.00", 1_000_000)
	_, err = h.checkout(c, "pieces", cash(""))
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%v", err)
	require.Contains(t, err.Error(), "at most 6 pieces, the cart has 7")
	h.fill(c.ID, line("var_dear", 2))
	_, err = h.checkout(c, "total", cash(""))
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%v", err)
	_, err = h.checkout(c, "card", checkoutRequest("tok_ok"))
	require.NoError(t, err, "a card has no bounds")
	h.requireConsistent()
}

func TestCashOnDeliveryIsOfferedInListedCurrenciesOnly(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"cash": map[string]any{"max_total": map[string]any{"CHF": "0.00"}}})
	h.currency = "" // the first line decides
	for currency, refused := range map[string]bool{"CAD": true, "CHF": false, "EUR": false} {
		c := user("c-" + currency)
		h.offer("var_"+currency, "shp_1", "1.00", 10)
		h.offers["var_"+currency].Price.CurrencyCode = currency
		h.fill(c.ID, line("var_"+currency, 1))
		_, err := h.checkout(c, "k", cash(""))
		if !refused {
			require.NoError(t, err, currency)
			continue
		}
		require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%s: %v", currency, err)
		require.Equal(t, "payment.method", errs.From(err).Fields[0].Path)
		_, err = h.checkout(c, "card", checkoutRequest("tok_ok"))
		require.NoError(t, err, currency)
	}
	h.requireConsistent()
}

func TestGuestsMayPayInCashIfASettingSaysSo(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"cash": map[string]any{"guests": true}})
	h.offer("var_cheap", "shp_1", "1.00", 100)
	guest := identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	h.fill(guest.ID, line("var_cheap", 1))
	_, err := h.checkout(guest, "k", cash("a@example.com"))
	require.NoError(t, err)
	h.requireConsistent()
}

func TestUnpaidOrdersOfACustomerAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"max_unpaid": 2})
	c := h.newCustomer()
	cart := h.carts[c.ID]
	first := h.cashOrder(c, "1")
	h.fill(c.ID, cart...)
	h.cashOrder(c, "2")
	h.fill(c.ID, cart...)
	_, err := h.checkout(c, "3", cash(""))
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	again, err := h.checkout(c, "1", cash(""))
	require.NoError(t, err, "a retry gets its order")
	require.Equal(t, first.GetId(), again.GetId())
	_, err = h.checkout(c, "card", checkoutRequest("tok_ok"))
	require.NoError(t, err, "an order that is paid at once is not bounded")
	other := h.newCustomer()
	h.cashOrder(other, "1")

	for _, p := range first.GetShopOrders() {
		_, err = h.ship(operator(), p.GetId())
		require.NoError(t, err)
		_, err = h.deliver(operator(), p.GetId())
		require.NoError(t, err)
	}
	h.fill(c.ID, cart...)
	_, err = h.checkout(c, "4", cash(""))
	require.NoError(t, err, "one was delivered")
	h.requireConsistent()
}

// Several requests of one customer share a statement. Each of them counts the customer's orders once.
func TestConcurrentReadersSeeTheSameStanding(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	h.cashOrder(c, "1")
	for _, err := range moduletest.Concurrently(50, func(int) error {
		s, err := h.store.Standing(t.Context(), c.ID, []byte{}, time.Now())
		if err == nil && s.Unpaid != 1 {
			err = fmt.Errorf("%d unpaid orders", s.Unpaid)
		}
		return err
	}) {
		require.NoError(t, err)
	}
}

func TestCustomerWhoCancelsAgainAndAgainWaitsLonger(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"cancels": map[string]any{"free": 2, "wait": "1m"}})
	c := h.newCustomer()
	cart := h.carts[c.ID]
	orderAndCancel := func() error {
		h.fill(c.ID, cart...)
		o, err := h.checkout(c, id.New("key"), checkoutRequest("tok_ok"))
		if err != nil {
			return err
		}
		_, err = h.cancel(c, o.GetId())
		return err
	}
	past := func(d time.Duration) {
		_, err := h.Pool.Exec(t.Context(),
			`update orders set customer_cancelled_at = customer_cancelled_at - make_interval(secs => $1)`, d.Seconds())
		require.NoError(t, err)
	}
	for range 3 {
		require.NoError(t, orderAndCancel())
	}
	for _, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		err := orderAndCancel()
		require.Equal(t, errs.RateLimited, errs.CodeOf(err), "%v", err)
		require.InDelta(t, want.Seconds(), errs.From(err).RetryAfter.Seconds(), 30)
		past(want)
		require.NoError(t, orderAndCancel())
	}
	other := h.newCustomer()
	h.confirmedOrder(other)
	past(24 * time.Hour)
	require.NoError(t, orderAndCancel(), "a day later all is forgotten")
	h.requireConsistent()
}

func TestCancellationsOfGuestsCountByTheirMailbox(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"cancels": map[string]any{"free": 2, "wait": "1m"}})
	cart := h.carts[h.newCustomer().ID]
	orderAndCancel := func(a identity.Actor, email string) error {
		h.fill(a.ID, cart...)
		r := checkoutRequest("tok_ok")
		r.Email = email
		o, err := h.checkout(a, id.New("key"), r)
		if err != nil {
			return err
		}
		_, err = h.cancel(a, o.GetId())
		return err
	}
	guest := func() identity.Actor { return identity.Actor{Kind: identity.KindGuest, ID: id.New(id.Guest)} }
	for range 3 {
		require.NoError(t, orderAndCancel(guest(), "ana@example.com"))
	}
	err := orderAndCancel(guest(), "Ana+1@Example.com")
	require.Equal(t, errs.RateLimited, errs.CodeOf(err), "%v", err)
	require.InDelta(t, time.Minute.Seconds(), errs.From(err).RetryAfter.Seconds(), 30)
	require.NoError(t, orderAndCancel(guest(), "bob@example.com"), "another mailbox")
	require.NoError(t, orderAndCancel(user("ana"), "ana@example.com"), "a user's do not count by it")
	rows := func() int { return moduletest.Value[int](h.Service, `select count(*) from guest_cancel`) }
	require.Equal(t, 4, rows())
	for _, c := range []struct {
		age  time.Duration
		left int
	}{{time.Hour, 4}, {-time.Hour, 0}} {
		_, err = h.store.ForgetGuestCancels(t.Context(), time.Time{}, time.Now().Add(-c.age), 10)
		require.NoError(t, err)
		require.Equal(t, c.left, rows())
	}
	require.NoError(t, orderAndCancel(guest(), "ana@example.com"))
	h.requireConsistent()
}

func TestOrderThatWaitsTooLongForItsMoneyIsCancelled(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c, late := h.newCustomer(), h.newCustomer()
	paid := h.paidOrder(c)
	require.Nil(t, paid.GetExpiresAt())
	h.fill(c.ID, h.carts[late.ID]...)
	partly, waits := h.cashOrder(late, "k"), h.cashOrder(c, "k2")
	require.WithinDuration(t, time.Now().Add(7*24*time.Hour), waits.GetExpiresAt().AsTime(), time.Minute)
	_, err := h.ship(operator(), partly.GetShopOrders()[0].GetId())
	require.NoError(t, err)
	_, err = h.Pool.Exec(t.Context(), `update orders set expires_at = now() where expires_at is not null`)
	require.NoError(t, err)
	h.Another() // whose first pass is at once
	waittest.Until(t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from shop_order where status = 'cancelled'`) == 3
	}, "they are not cancelled")
	h.waitForSagas()
	got := h.get(c, waits.GetId())
	require.Equal(t, "cancelled", got.GetStatus())
	require.Equal(t, "voided", got.GetPayment().GetStatus())
	require.Equal(t, "expired", got.GetShopOrders()[0].GetCancellation().GetBy())
	require.Nil(t, got.GetExpiresAt())
	require.Equal(t, "shipped", h.get(late, partly.GetId()).GetStatus(), "what was shipped stays")
	require.Equal(t, "confirmed", h.get(c, paid.GetId()).GetStatus())
	h.requireConsistent()
}
