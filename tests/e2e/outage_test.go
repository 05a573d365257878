package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
)

// TestOutages kills Redis and PostgreSQL while customers buy. Requests fail as unavailable while it lasts; then
// everything recovers by itself, and nothing that was acknowledged is lost.
func TestOutages(t *testing.T) {
	s := start(t, "inprocess", nil)
	shop := handle("outage")
	v := s.seller(shop).sell(shop, "Outage", "10.00", 100_000).Variants[0].ID
	var acknowledged sync.Map // order ID to the buyer who got it
	var orders, odd atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				buyWhatever(t, s, v, &acknowledged, &orders, &odd)
			}
		})
	}
	outage := func(what string, pid int) {
		before := orders.Load()
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, "orders are taken again after "+what+" was killed", func() bool { return orders.Load() > before+20 })
	}
	eventually(t, "orders are taken", func() bool { return orders.Load() > 20 })
	outage("Redis", childOf(t, s, "redis-server"))
	outage("PostgreSQL", childOf(t, s, "postgres"))
	outage("Redis", childOf(t, s, "redis-server"))
	close(done)
	wg.Wait()
	require.Zero(t, odd.Load(), "answers that were neither a success nor an honest refusal")
	acknowledged.Range(func(orderID, buyer any) bool {
		buyer.(*client).get("/v1/orders/" + orderID.(string)).want(http.StatusOK)
		return true
	})
	t.Logf("%d orders", orders.Load())
	sagasEnd(s)
	s.verify()
}

// buyWhatever tries one purchase and notes how it went.
func buyWhatever(t *testing.T, s *souk, v string, acknowledged *sync.Map, orders, odd *atomic.Int64) {
	honest := func(a *answer, err error) bool {
		if err != nil {
			odd.Add(1)
			t.Logf("no answer: %v", err)
			return false
		}
		switch {
		case a.status < http.StatusMultipleChoices:
			return true
		case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
		case a.status == http.StatusGatewayTimeout, a.code() == "idempotency_in_flight":
		case a.status == http.StatusUnprocessableEntity && a.code() == "cart_empty": // the cart went with Redis: at most 5 s are lost
		default:
			odd.Add(1)
			t.Logf("%d %s", a.status, a.body)
		}
		return false
	}
	a, err := s.anonymous().do(http.MethodPost, "/v1/guest", obj{})
	if !honest(a, err) {
		return
	}
	var g struct{ Token string }
	if err := json.Unmarshal(a.body, &g); err != nil {
		odd.Add(1)
		return
	}
	c := &client{s: s, token: g.Token}
	if !honest(c.do(http.MethodPost, "/v1/cart/items", obj{"variantId": v, "quantity": 1})) {
		return
	}
	body := checkoutBody("tok_ok")
	body["email"] = "outage@example.com"
	key := id.New(id.Event)
	for range 100 {
		a, err = c.do(http.MethodPost, "/v1/checkout", body, "Idempotency-Key", key)
		if honest(a, err) {
			var o struct{ Order orderJSON }
			if json.Unmarshal(a.body, &o) == nil {
				acknowledged.Store(o.Order.ID, c)
				orders.Add(1)
			}
			return
		}
		if err != nil || a.code() == "cart_empty" {
			return
		}
		<-time.After(100 * time.Millisecond) // as Retry-After asks, only shorter
	}
}

// childOf returns the process ID of a server that souk dev started: the child with that program's name.
func childOf(t *testing.T, s *souk, program string) int {
	t.Helper()
	var found int
	eventually(t, program+" runs", func() bool {
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		require.NoError(t, err)
		for _, path := range stats {
			raw, err := os.ReadFile(path)
			if err != nil {
				continue // it ended meanwhile
			}
			open, end := strings.IndexByte(string(raw), '('), strings.LastIndexByte(string(raw), ')')
			if open < 0 || end < 0 || string(raw[open+1:end]) != program {
				continue
			}
			fields := strings.Fields(string(raw[end+1:]))
			if fields[1] == strconv.Itoa(s.cmd.Process.Pid) {
				found, err = strconv.Atoi(filepath.Base(filepath.Dir(path)))
				require.NoError(t, err)
				return true
			}
		}
		return false
	})
	return found
}

// TestJetStreamLost removes all of JetStream's files between two runs and replays the outboxes: no consumer
// applies anything twice, and nothing is missing.
func TestJetStreamLost(t *testing.T) {
	s := start(t, "inprocess", nil)
	shop := handle("lost")
	v := s.seller(shop).sell(shop, "Lost stream", "10.00", 100).Variants[0].ID
	buyers := map[string]*client{}
	for range 10 {
		g := s.guest()
		g.add(v, 1).want(http.StatusOK)
		body := checkoutBody("tok_ok")
		body["email"] = email("stream")
		buyers[body["email"].(string)] = g
		g.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	}
	mails := func(to string) int {
		var mail struct{ Messages []struct{ Subject string } }
		s.anonymous().get("/dev/mail?to=" + to).want(http.StatusOK).into(&mail)
		return len(mail.Messages)
	}
	for to := range buyers {
		eventually(t, "the mail arrives", func() bool { return mails(to) == 1 })
	}
	s.stop()
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "nats")))
	s.launch()
	s.must("events", "replay")
	g := s.guest()
	g.add(v, 1).want(http.StatusOK)
	body := checkoutBody("tok_ok")
	last := email("after")
	body["email"] = last
	g.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	eventually(t, "events flow again", func() bool { return mails(last) == 1 })
	for to := range buyers {
		require.Zero(t, mails(to), "the mail sink began anew: a mail now would be a second one")
	}
	s.verify()
}
