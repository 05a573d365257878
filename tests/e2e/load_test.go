package e2e

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"souk/pkg/id"
)

const (
	shoppers   = 6                      // concurrent customers of a load
	retryDelay = 100 * time.Millisecond // shorter than what Retry-After says, to save time
)

// load simulates customers who buy one piece each as guests, again and again, even while servers are down.
type load struct {
	t          testing.TB
	s          *souk
	variant    string
	losesCarts bool // the test kills Redis, which may lose the last seconds of carts

	orders      atomic.Int64 // checkouts that returned an order
	unavailable atomic.Int64 // unavailable answers with Retry-After
	unexpected  atomic.Int64 // answers that were neither a success nor a documented refusal

	mu           sync.Mutex
	acknowledged map[string]purchase // by order ID
	longestTime  time.Duration       // from the end of a customer's purchase to that of the next one

	wg   sync.WaitGroup
	done chan struct{}
	stop func() // ends the load and waits for purchases in flight
}

// purchase is an order that a customer got an answer for.
type purchase struct {
	buyer *client
	email string
}

// startLoad starts a load on a variant. It ends with the test or with stop.
func startLoad(t testing.TB, s *souk, variant string, losesCarts bool) *load {
	t.Helper()
	l := &load{
		t: t, s: s, variant: variant, losesCarts: losesCarts,
		acknowledged: map[string]purchase{}, done: make(chan struct{}),
	}
	l.stop = sync.OnceFunc(func() {
		close(l.done)
		l.wg.Wait()
	})
	t.Cleanup(l.stop)
	for range shoppers {
		l.wg.Go(func() {
			bought := time.Now()
			for {
				delay := time.Duration(0)
				if l.buy() {
					l.noteDuration(time.Since(bought))
					bought = time.Now()
				} else {
					delay = retryDelay
				}
				select {
				case <-l.done:
					return
				case <-time.After(delay):
				}
			}
		})
	}
	return l
}

func (l *load) noteDuration(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longestTime = max(l.longestTime, d)
}

// longest returns how long the slowest purchase took until it succeeded, with all that failed before.
func (l *load) longest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.longestTime
}

// buy tries one purchase, records its answers, and reports whether it succeeded.
func (l *load) buy() bool {
	var g struct{ Token string }
	a, ok := l.record(l.s.anonymous().do(http.MethodPost, "/v1/guest", obj{}))
	if !ok || json.Unmarshal(a.body, &g) != nil {
		return false
	}
	p := purchase{buyer: &client{s: l.s, token: g.Token}, email: email("load")}
	item := obj{"variantId": l.variant, "quantity": 1}
	if _, ok := l.record(p.buyer.do(http.MethodPost, "/v1/cart/items", item)); !ok {
		return false
	}
	body := checkoutBody("tok_ok")
	body["email"] = p.email
	key := id.New(id.Event)
	for range 100 {
		a, ok := l.record(p.buyer.do(http.MethodPost, "/v1/checkout", body, "Idempotency-Key", key))
		if ok {
			var o struct{ Order orderJSON }
			if json.Unmarshal(a.body, &o) != nil || o.Order.ID == "" {
				l.recordUnexpected("an order without an ID: %s", a.body)
				return false
			}
			l.mu.Lock()
			l.acknowledged[o.Order.ID] = p
			l.mu.Unlock()
			l.orders.Add(1)
			return true
		}
		if a == nil || a.code() == "cart_empty" {
			return false
		}
		select {
		case <-time.After(retryDelay):
		case <-l.t.Context().Done(): // the test has ended
			return false
		}
	}
	return false
}

// record counts an answer and reports whether it is a success.
func (l *load) record(a *answer, err error) (*answer, bool) {
	if err != nil {
		l.recordUnexpected("no answer: %v", err)
		return nil, false
	}
	switch {
	case a.status < http.StatusMultipleChoices:
		return a, true
	case a.status == http.StatusServiceUnavailable && a.code() == "unavailable" && a.header.Get("Retry-After") != "":
		l.unavailable.Add(1)
	case a.code() == "idempotency_in_flight":
	case l.losesCarts && a.status == http.StatusUnprocessableEntity && a.code() == "cart_empty":
	default:
		l.recordUnexpected("%d %s", a.status, a.body)
	}
	return a, false
}

func (l *load) recordUnexpected(format string, args ...any) {
	l.unexpected.Add(1)
	l.t.Logf(format, args...)
}
