package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/gen/go/souk/services"
	"souk/pkg/id"
	"souk/pkg/waittest"
)

const (
	// downTime is how long a server is down.
	downTime = 2 * time.Second
	// recoveryTimeout bounds how long after the restart of a server a checkout may fail, and how long customers may
	// take to buy as before.
	recoveryTimeout = 10 * time.Second
	// eventTimeout bounds how long after the load an order may be unpaid or its mail be missing. An event that was in
	// flight to a consumer when NATS stopped is delivered again after half a minute.
	eventTimeout = 60 * time.Second
)

// TestServerRestartsLoseNoOrderInOneProcess stops NATS, then PostgreSQL, while customers buy from services in one
// process. Without NATS they can still buy, and mails arrive later. Without PostgreSQL requests fail as unavailable.
// Then everything recovers by itself, and no acknowledged order is lost.
func TestServerRestartsLoseNoOrderInOneProcess(t *testing.T) {
	t.Parallel()
	d := deploy(t, "all")
	v, l := d.market()

	d.servers.stopNATS(t)
	before, unavailable, since := l.orders.Load(), l.unavailable.Load(), time.Now()
	waittest.Until(t, func() bool {
		return l.orders.Load() > before+20 && time.Since(since) > downTime
	}, "no orders are taken without NATS")
	require.Equal(t, unavailable, l.unavailable.Load(), "in one process no answer needs NATS")
	d.servers.startNATS(t)
	before = l.orders.Load()
	waittest.Until(t, func() bool { return l.orders.Load() > before+20 }, "no orders are taken with NATS")

	d.restartServer("PostgreSQL", v, l, d.servers.stopPostgres, d.servers.startPostgres)
	d.requireNothingLost(l)
}

// TestNATSRestartLosesNoOrderBetweenProcesses stops NATS while customers buy from services that call each other over
// it.
func TestNATSRestartLosesNoOrderBetweenProcesses(t *testing.T) {
	t.Parallel()
	d := deploy(t, twoProcesses()...)
	v, l := d.market()
	d.restartServer("NATS", v, l, d.servers.stopNATS, d.servers.startNATS)
	d.requireNothingLost(l)
}

// twoProcesses returns the targets of a deployment whose gateway calls most services in another process.
func twoProcesses() []string {
	front := []string{"user", "cart", "auth", "gateway"}
	behind := slices.DeleteFunc(services.Names(), func(name string) bool { return slices.Contains(front, name) })
	return []string{strings.Join(behind, ","), strings.Join(front, ",")}
}

// market creates a variant and starts a load that buys it.
func (d *deployment) market() (variant string, l *load) {
	d.t.Helper()
	return d.marketLosing(false)
}

// marketLosing is market for a test that may lose carts.
func (d *deployment) marketLosing(carts bool) (variant string, l *load) {
	d.t.Helper()
	shop := handle("restarts")
	variant = d.seller(shop).sell(shop, "Restarts", "10.00", 100_000).Variants[0].ID
	l = startLoad(d.t, d.souk, variant, carts)
	waittest.Until(d.t, func() bool { return l.orders.Load() > 20 }, "no orders are taken")
	return variant, l
}

// restartServer stops a server that every checkout needs, and starts it again. While it is down, a customer's checkout
// is unavailable with Retry-After. After the restart the same checkout succeeds.
func (d *deployment) restartServer(what, variant string, l *load, stop, start func(testing.TB)) {
	d.t.Helper()
	c := interrupted{
		buyer: d.guest(), key: id.New(id.Event), body: checkoutBody("tok_ok"), token: "tok_ok", total: "20.00",
	}
	c.body["email"] = email("waits")
	c.buyer.add(variant, 2).want(http.StatusOK)

	stop(d.t)
	down := time.After(downTime)
	for isDown := true; isDown; {
		a := c.buyer.post("/v1/checkout", c.body, "Idempotency-Key", c.key)
		a.problem(http.StatusServiceUnavailable, "unavailable")
		require.NotEmpty(d.t, a.header.Get("Retry-After"))
		select {
		case <-down:
			isDown = false
		case <-time.After(retryDelay):
		}
	}
	start(d.t)

	since, before := time.Now(), l.orders.Load()
	c.complete(d.souk)
	took := time.Since(since)
	require.Less(d.t, took, recoveryTimeout, "until a checkout succeeds after the restart of %s", what)
	require.Eventually(d.t, func() bool { return l.orders.Load() > before+20 },
		recoveryTimeout, 10*time.Millisecond, "orders are taken as before")
	d.t.Logf("%s is back: a checkout succeeded after %s, all customers bought again after %s", what,
		took.Round(time.Millisecond), time.Since(since).Round(time.Millisecond))
}

// requireNothingLost ends the load. Each acknowledged order must exist and be paid, and its customer must get its mail
// once.
func (d *deployment) requireNothingLost(l *load) {
	d.t.Helper()
	l.stop()
	require.Zero(d.t, l.unexpected.Load(), "answers that were neither a success nor a documented refusal")
	since := time.Now()
	for orderID, p := range l.acknowledged {
		require.Eventually(d.t, func() bool {
			var o orderJSON
			p.buyer.get("/v1/orders/" + orderID).want(http.StatusOK).into(&o)
			return o.Status == "confirmed" && o.Payment.Status == "captured"
		}, eventTimeout, 50*time.Millisecond, "%s ends paid", orderID)
	}
	require.Eventually(d.t, func() bool { return d.mailed(l) },
		eventTimeout, 50*time.Millisecond, "each order's mail arrives")
	d.t.Logf("%d orders, %d answers unavailable; %s later all were paid and all mails had arrived", l.orders.Load(),
		l.unavailable.Load(), time.Since(since).Round(time.Millisecond))
	sagasEnd(d.souk)
	d.verify()
}

// mailed reports whether all customers have got their mails. It asserts that no customer has got two. Sellers get
// several: those about their new orders.
func (d *deployment) mailed(l *load) bool {
	d.t.Helper()
	buyers := map[string]bool{}
	for _, p := range l.acknowledged {
		buyers[p.email] = true
	}
	got := map[string]bool{} // by address
	for _, m := range d.servers.mail.Messages() {
		to := m.To[0]
		require.False(d.t, buyers[to] && got[to], "a second mail to %s: %s", to, m.MessageID)
		got[to] = true
	}
	for _, p := range l.acknowledged {
		if !got[p.email] {
			return false
		}
	}
	return true
}
