package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/event"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestEventsOfTradeAreCountedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	cancelled := func(reason string, confirmed bool) event.Event {
		return h.tradeEvent("evt.order.cancelled", &orderv1.OrderCancelled{
			OrderId: "ord_1", CustomerId: "usr_1", Reason: reason, WasConfirmed: confirmed,
		})
	}
	released := func(reason string) event.Event {
		return h.tradeEvent("evt.inventory.released", &productv1.InventoryReleased{
			OrderId: "ord_1", Reason: reason, Lines: []*productv1.InventoryLine{
				{VariantId: "var_1", Quantity: 3}, {VariantId: "var_2", Quantity: 2},
			},
		})
	}
	confirmed := func(method string) event.Event {
		return h.tradeEvent("evt.order.confirmed", &orderv1.OrderConfirmed{
			OrderId: "ord_1", CustomerId: "usr_1", PaymentMethod: method,
		})
	}
	events := []event.Event{
		confirmed("card"), confirmed("cod"), confirmed(""),
		cancelled("customer", true), cancelled("expired", true), cancelled("operator", true),
		cancelled("payment_declined", false),
		h.tradeEvent("evt.payment.refunded", &paymentv1.PaymentRefunded{PaymentId: "pay_1", OrderId: "ord_1"}),
		released("released"), released("expired"), released("restocked"),
	}
	h.Deliver("any", events...)
	h.Deliver("any", append(events, h.tradeEvent("evt.payment.refunded", &paymentv1.PaymentRefunded{}))...)
	for kind, want := range map[string]int64{
		"paid_orders": 2, "cash_on_delivery": 1, "cancellations": 3, "refunds": 2, "stock_holding": 10,
	} {
		require.Equal(t, want, h.count(`select sum(n) from total where kind = $1`, kind), kind)
	}
	require.EqualValues(t, 2, h.count(`select n from tally where kind = 'cancellations' and subject = 'usr_1'`))
	require.EqualValues(t, 6, h.count(`select n from tally where subject = 'var_1'`))
	require.EqualValues(t, 4, h.count(`select count(*) from tally`))
}

func TestACustomerWithManyCancellationsIsASecurityEvent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.Set("security.cancellations", 4)
	var events []event.Event
	for range 4 {
		events = append(events, h.tradeEvent("evt.order.cancelled", &orderv1.OrderCancelled{
			CustomerId: "usr_7", Reason: "customer", WasConfirmed: true,
		}))
	}
	h.Deliver("order", events...)
	e := h.await(1)[0]
	require.Equal(t, "cancellations", e.GetKind())
	require.Equal(t, "usr_7", e.GetSubject())
	require.EqualValues(t, 4, e.GetThreshold())
}

// history inserts the same number of observations for the same hour of days before.
func (h *harness) history(kind string, days, n int) {
	h.t.Helper()
	for d := 1; d <= days; d++ {
		_, err := h.Pool.Exec(h.t.Context(), `insert into total (kind, slot, n) values ($1, $2, $3)`, kind,
			h.clock.Now().Add(-time.Duration(d)*24*time.Hour-30*time.Minute).Truncate(10*time.Minute), n)
		require.NoError(h.t, err)
		_, err = h.Pool.Exec(
			h.t.Context(),
			`insert into total (kind, slot, n) values ($1, $2, 1) on conflict do nothing`,
			kind,
			h.clock.Now().Add(-time.Duration(d)*24*time.Hour-2*time.Hour).Truncate(10*time.Minute),
		)
		require.NoError(h.t, err)
	}
}

func (h *harness) refunds(n int) {
	h.t.Helper()
	events := make([]event.Event, n)
	for i := range events {
		events[i] = h.tradeEvent("evt.payment.refunded", &paymentv1.PaymentRefunded{PaymentId: fmt.Sprint(i)})
	}
	h.Deliver("payment", events...)
}

func TestASpikeOfTheMarketplaceIsASecurityEvent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.history("refunds", 14, 20)
	h.refunds(59)
	h.detected()
	require.Empty(t, h.list(&securityv1.ListSecurityEventsRequest{}))
	h.refunds(1)
	e := h.await(1)[0]
	require.Equal(t, "refunds", e.GetKind())
	require.Equal(t, "marketplace", e.GetSubject())
	require.EqualValues(t, 60, e.GetCount())
	require.EqualValues(t, 60, e.GetThreshold())
	require.EqualValues(t, 3600, e.GetWindowSeconds())
}

func TestNothingIsASpikeWithoutAHistory(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.history("refunds", 2, 1)
	h.refunds(100)
	h.detected()
	require.Empty(t, h.list(&securityv1.ListSecurityEventsRequest{}))
}

func TestOldRowsAreDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.send(h.reportOf(observed("failed_sign_ins", stranger, 60)))
	h.send(h.reportOf(observed("card_testing", stranger, 1)))
	h.Deliver(
		"order",
		h.tradeEvent("evt.order.confirmed", &orderv1.OrderConfirmed{CustomerId: "usr_1", PaymentMethod: "cod"}),
	)
	r := h.reportOf()
	r.Sightings = []*securityv1.Sighting{{UserId: "usr_1", CountryCode: "BR", At: r.At}}
	h.send(r)
	h.await(1)
	left := func(table string) int64 { return h.count(`select count(*) from ` + table) }
	// Each process deletes when it starts, and then every five minutes.
	after := func(d time.Duration, table string, want int64) {
		t.Helper()
		h.clock.Advance(d)
		other := h.Another()
		waittest.Until(t, func() bool { return left(table) == want }, "%s has %d rows", table, left(table))
		other.Stop()
	}
	after(90*time.Minute, "tally", 2)
	after(90*time.Minute, "report", 0)
	require.EqualValues(t, 1, left("sighting"))
	after(24*time.Hour, "sighting", 0)
	after(time.Hour, "tally", 0)
	require.EqualValues(t, 3, left("total"))
	require.EqualValues(t, 1, left("event"))
	after(15*24*time.Hour, "total", 0)
	require.EqualValues(t, 1, left("event"))
	after(90*24*time.Hour, "event", 0)
}

func TestASecondProcessFindsNothingTwice(t *testing.T) {
	t.Parallel()
	h := setup(t)
	other := h.Another()
	h.send(h.reportOf(observed("failed_sign_ins", stranger, 60)))
	e := h.await(1)[0]
	h.detected()
	now := float64(h.clock.Now().Unix())
	waittest.Until(t, func() bool { return other.Metric("security_last_detection_timestamp_seconds") >= now },
		"the other process does not detect")
	h.await(1)
	require.Equal(t, []string{"evt.security.detected"}, h.Events(e.GetId()))
	require.EqualValues(
		t,
		1,
		moduletest.Value[int64](h.Service, `select count(*) from outbox where subject = 'evt.security.detected'`),
	)
}
