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
	shoppers   = 6                      // of a load, at once
	retryPause = 100 * time.Millisecond // as Retry-After asks, only shorter
)

// load is customers who buy a piece each as guests, again and again, whatever is out.
type load struct {
	t         testing.TB
	s         *souk
	variant   string
	cartsGone bool // the test kills Redis, which may lose the last seconds of carts

	orders      atomic.Int64 // checkouts that were answered with an order
	unavailable atomic.Int64 // answers unavailable, with Retry-After
	odd         atomic.Int64 // answers that were neither a success nor an honest refusal

	mu           sync.Mutex
	acknowledged map[string]purchase // by order ID

	wg   sync.WaitGroup
	done chan struct{}
	stop func() // no more purchases; waits for those under way
}

// purchase is an order that a customer was told of.
type purchase struct {
	buyer *client
	email string
}

// buying starts a load on a variant. It ends with the test, or with stop.
func buying(t testing.TB, s *souk, variant string, cartsGone bool) *load {
	t.Helper()
	l := &load{t: t, s: s, variant: variant, cartsGone: cartsGone, acknowledged: map[string]purchase{}, done: make(chan struct{})}
	l.stop = sync.OnceFunc(func() {
		close(l.done)
		l.wg.Wait()
	})
	t.Cleanup(l.stop)
	for range shoppers {
		l.wg.Go(func() {
			for {
				pause := time.Duration(0)
				if !l.buy() {
					pause = retryPause
				}
				select {
				case <-l.done:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	return l
}

// buy tries one purchase, notes how it went, and reports whether it went well.
func (l *load) buy() bool {
	var g struct{ Token string }
	a, ok := l.noted(l.s.anonymous().do(http.MethodPost, "/v1/guest", obj{}))
	if !ok || json.Unmarshal(a.body, &g) != nil {
		return false
	}
	p := purchase{buyer: &client{s: l.s, token: g.Token}, email: email("load")}
	if _, ok := l.noted(p.buyer.do(http.MethodPost, "/v1/cart/items", obj{"variantId": l.variant, "quantity": 1})); !ok {
		return false
	}
	body := checkoutBody("tok_ok")
	body["email"] = p.email
	key := id.New(id.Event)
	for range 100 {
		a, ok := l.noted(p.buyer.do(http.MethodPost, "/v1/checkout", body, "Idempotency-Key", key))
		if ok {
			var o struct{ Order orderJSON }
			if json.Unmarshal(a.body, &o) != nil || o.Order.ID == "" {
				l.strange("an order without an ID: %s", a.body)
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
		<-time.After(retryPause)
	}
	return false
}

// noted counts an answer and reports whether it is a success.
func (l *load) noted(a *answer, err error) (*answer, bool) {
	if err != nil {
		l.strange("no answer: %v", err)
		return nil, false
	}
	switch {
	case a.status < http.StatusMultipleChoices:
		return a, true
	case a.status == http.StatusServiceUnavailable && a.code() == "unavailable" && a.header.Get("Retry-After") != "":
		l.unavailable.Add(1)
	case a.code() == "idempotency_in_flight":
	case l.cartsGone && a.status == http.StatusUnprocessableEntity && a.code() == "cart_empty":
	default:
		l.strange("%d %s", a.status, a.body)
	}
	return a, false
}

func (l *load) strange(format string, args ...any) {
	l.odd.Add(1)
	l.t.Logf(format, args...)
}
