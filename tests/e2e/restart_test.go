package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
)

const (
	// downTime is how long a server is away.
	downTime = 2 * time.Second
	// recoverTime is within what a checkout succeeds once the server is back, and within what all customers buy as before.
	recoverTime = 10 * time.Second
	// eventTime is within what every order is paid and its mail there: an event that was on its way to a consumer when
	// NATS went comes again after half a minute.
	eventTime = 60 * time.Second
)

// TestRestartsInOneProcess stops NATS, then PostgreSQL, while customers buy from services in one process. Without
// NATS they go on, and mails come later; without PostgreSQL requests fail as unavailable. Then everything recovers by
// itself, and nothing that was acknowledged is lost.
func TestRestartsInOneProcess(t *testing.T) {
	t.Parallel()
	d := deploy(t, "all")
	v, l := d.market()

	d.servers.stopNATS(t)
	before, unavailable, since := l.orders.Load(), l.unavailable.Load(), time.Now()
	eventually(t, "orders are taken without NATS", func() bool { return l.orders.Load() > before+20 && time.Since(since) > downTime })
	require.Equal(t, unavailable, l.unavailable.Load(), "in one process nothing needs NATS to answer")
	d.servers.startNATS(t)
	before = l.orders.Load()
	eventually(t, "orders are taken with NATS", func() bool { return l.orders.Load() > before+20 })

	d.away("PostgreSQL", v, l, d.servers.stopPostgres, d.servers.startPostgres)
	d.whole(l)
}

// TestNATSRestartBetweenProcesses stops NATS while customers buy from services that call each other over it.
func TestNATSRestartBetweenProcesses(t *testing.T) {
	t.Parallel()
	d := deploy(t, "shop,product,payment,order,notification", "user,cart,auth,gateway")
	v, l := d.market()
	d.away("NATS", v, l, d.servers.stopNATS, d.servers.startNATS)
	d.whole(l)
}

// market puts something on sale, and has customers buy it.
func (d *deployment) market() (variant string, l *load) {
	d.t.Helper()
	shop := handle("restarts")
	variant = d.seller(shop).sell(shop, "Restarts", "10.00", 100_000).Variants[0].ID
	l = buying(d.t, d.souk, variant, false)
	eventually(d.t, "orders are taken", func() bool { return l.orders.Load() > 20 })
	return variant, l
}

// away stops a server without which nobody can buy, and starts it again. A customer whose cart is full is told to come
// back each time, until the server is back: then the same checkout succeeds.
func (d *deployment) away(what, variant string, l *load, stop, start func(testing.TB)) {
	d.t.Helper()
	c := crashed{buyer: d.guest(), key: id.New(id.Event), body: checkoutBody("tok_ok"), token: "tok_ok"}
	c.body["email"] = email("waits")
	c.buyer.add(variant, 2).want(http.StatusOK)

	stop(d.t)
	for since := time.Now(); time.Since(since) < downTime; <-time.After(retryPause) {
		a := c.buyer.post("/v1/checkout", c.body, "Idempotency-Key", c.key)
		a.problem(http.StatusServiceUnavailable, "unavailable")
		require.NotEmpty(d.t, a.header.Get("Retry-After"))
	}
	start(d.t)

	since, before := time.Now(), l.orders.Load()
	c.end(d.souk)
	took := time.Since(since)
	require.Less(d.t, took, recoverTime, "until a checkout succeeds once %s is back", what)
	require.Eventually(d.t, func() bool { return l.orders.Load() > before+20 }, recoverTime, 10*time.Millisecond, "orders are taken as before")
	d.t.Logf("%s was back: a checkout succeeded after %s, all customers bought again after %s", what,
		took.Round(time.Millisecond), time.Since(since).Round(time.Millisecond))
}

// whole ends the load and asserts that each customer who was told of an order has it, paid, and got its mail, once.
func (d *deployment) whole(l *load) {
	d.t.Helper()
	l.stop()
	require.Zero(d.t, l.odd.Load(), "answers that were neither a success nor an honest refusal")
	since := time.Now()
	for orderID, p := range l.acknowledged {
		require.Eventually(d.t, func() bool {
			var o orderJSON
			p.buyer.get("/v1/orders/" + orderID).want(http.StatusOK).into(&o)
			return o.Status == "confirmed" && o.Payment.Status == "captured"
		}, eventTime, 50*time.Millisecond, "%s ends paid", orderID)
	}
	require.Eventually(d.t, func() bool { return d.mailed(l) }, eventTime, 50*time.Millisecond, "each order's mail arrives")
	d.t.Logf("%d orders, %d answers unavailable; %s later all were paid and all mails there", l.orders.Load(),
		l.unavailable.Load(), time.Since(since).Round(time.Millisecond))
	sagasEnd(d.souk)
	d.verify()
}

// mailed reports whether all customers have got their mails, and asserts that nobody has got two.
func (d *deployment) mailed(l *load) bool {
	d.t.Helper()
	got := map[string]bool{} // by address
	for _, m := range d.servers.mail.Messages() {
		require.False(d.t, got[m.To[0]], "a second mail to %s: %s", m.To[0], m.MessageID)
		got[m.To[0]] = true
	}
	for _, p := range l.acknowledged {
		if !got[p.email] {
			return false
		}
	}
	return true
}
