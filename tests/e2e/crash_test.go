package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
	"souk/apps/payment"
	"souk/apps/product"
	"souk/pkg/id"
)

// settleTime is within what every saga ends after a restart.
const settleTime = 5 * time.Second

// checkoutFailpoints are the windows between two writes that a checkout passes, refused ones included, by the
// service in whose process they are.
func checkoutFailpoints() map[string][]string {
	// Where no checkout passes: sagas that are given up or parked, cancellations, the catalogue.
	elsewhere := func(name string) bool {
		return slices.ContainsFunc([]string{"claim", "release", "park", "void", "refund", "product.after_commit"}, func(part string) bool { return strings.Contains(name, part) })
	}
	ofCheckout := slices.DeleteFunc(order.Failpoints(), func(name string) bool { return !strings.HasPrefix(name, "checkout.") || elsewhere(name) })
	return map[string][]string{
		"order":   ofCheckout,
		"payment": slices.DeleteFunc(payment.Failpoints(), elsewhere),
		"product": slices.DeleteFunc(product.Failpoints(), elsewhere),
	}
}

// crashed is a checkout that a crash interrupted.
type crashed struct {
	buyer *client
	key   string
	body  obj
	token string
}

// begin begins a checkout that may end at a failpoint.
func begin(s *souk, v, token string) crashed {
	s.t.Helper()
	c := crashed{buyer: s.guest(), key: id.New(id.Event), body: checkoutBody(token), token: token}
	c.body["email"] = email("crash")
	c.buyer.add(v, 2).want(http.StatusOK)
	_, _ = c.buyer.do(http.MethodPost, "/v1/checkout", c.body, "Idempotency-Key", c.key) // the connection breaks, or not
	return c
}

// end sends the same checkout again until it is answered for good, and asserts the answer that its token
// must get in the end, whatever happened on the way.
func (c crashed) end(s *souk) {
	s.t.Helper()
	c.buyer = &client{s: s, token: c.buyer.token}
	var a *answer
	eventually(s.t, "a retry with the same key is answered", func() bool {
		var err error
		a, err = c.buyer.do(http.MethodPost, "/v1/checkout", c.body, "Idempotency-Key", c.key)
		return err == nil && a.status < http.StatusInternalServerError && a.code() != "idempotency_in_flight"
	})
	if c.token == "tok_declined" {
		a.problem(http.StatusPaymentRequired, "payment_declined")
		return
	}
	require.Equal(s.t, "20.00", a.order().Total.Amount)
}

// sagasEnd waits until no saga is open.
func sagasEnd(s *souk) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		for _, state := range []string{"running", "compensating"} {
			if strings.Contains(s.must("saga", "ls", "--state", state), state) {
				return false
			}
		}
		return true
	}, settleTime, 50*time.Millisecond, "every saga ends within %s of the restart", settleTime)
}

// setFailpoints turns failpoints on in a running process, which may hit them at once, with what it was still doing.
func (s *souk) setFailpoints(process, spec string) {
	s.t.Helper()
	var admin string
	eventually(s.t, process+" runs", func() bool {
		for _, p := range s.processes() {
			if p.Name == process && p.PID != 0 {
				admin = p.Admin
			}
		}
		return admin != ""
	})
	req, err := http.NewRequest(http.MethodPut, "http://"+admin+"/debug/failpoints", bytes.NewBufferString(spec))
	require.NoError(s.t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Logf("the process ended before it answered: %v", err)
		return
	}
	require.NoError(s.t, res.Body.Close())
	require.Equal(s.t, http.StatusOK, res.StatusCode)
}

type processJSON struct {
	Name  string
	PID   int
	Admin string
}

func (s *souk) processes() []processJSON {
	s.t.Helper()
	a, err := s.anonymous().do(http.MethodGet, "/dev/processes", nil)
	require.NoError(s.t, err)
	var list struct{ Processes []processJSON }
	require.NoError(s.t, json.Unmarshal(a.body, &list))
	return list.Processes
}

// hits reports whether the process ended within the time that a checkout takes.
func hits(exited <-chan struct{}) bool {
	select {
	case <-exited:
		return true
	case <-time.After(1500 * time.Millisecond):
		return false
	}
}

// TestCrashAtEveryFailpoint stops the one process at each window of the checkout with kill -9, starts it again, and
// finds every saga ended, every order whole, and no money moved twice.
func TestCrashAtEveryFailpoint(t *testing.T) {
	s := start(t, "inprocess", []string{"SOUK_FAILPOINTS="})
	shop := handle("crash")
	v := s.seller(shop).sell(shop, "Crash", "10.00", 100_000).Variants[0].ID
	for service, points := range checkoutFailpoints() {
		for _, point := range points {
			t.Run(service+"/"+point, func(t *testing.T) {
				outer := s
				s := s.in(t)
				defer func() { outer.process = s.process }()
				for _, token := range []string{"tok_ok", "tok_declined"} {
					s.setFailpoints("souk", point+"=exit")
					c := begin(s, v, token)
					if !hits(s.exited) {
						continue
					}
					s.launch()
					sagasEnd(s)
					c.end(s)
					s.verify()
					return
				}
				require.Fail(t, "no checkout passes here", point)
			})
		}
	}
}

// TestCrashOfOneService stops the order, product and payment process each at each window of the checkout, while
// the other services go on; the process is started again by souk dev.
func TestCrashOfOneService(t *testing.T) {
	if os.Getenv("SOUK_TEST_CHAOS") == "" {
		t.Skip("TestKillUnderLoad is the short form of this; make chaos runs it")
	}
	s := start(t, "split", []string{"SOUK_FAILPOINTS="})
	shop := handle("crash")
	v := s.seller(shop).sell(shop, "Crash", "10.00", 100_000).Variants[0].ID
	for service, points := range checkoutFailpoints() {
		for _, point := range points {
			t.Run(service+"/"+point, func(t *testing.T) {
				s := s.in(t)
				for _, token := range []string{"tok_ok", "tok_declined"} {
					var before int
					eventually(t, service+" runs", func() bool { before = s.pid(service); return before != 0 })
					s.setFailpoints(service, point+"=exit")
					c := begin(s, v, token)
					c.end(s) // whatever happens to the process, the customer's retry is answered
					if s.pid(service) == before {
						continue
					}
					eventually(t, "the process is back", func() bool { pid := s.pid(service); return pid != 0 && pid != before })
					sagasEnd(s)
					return
				}
			})
		}
	}
	s.verify()
}

// pid returns a process's ID; 0 while there is none.
func (s *souk) pid(name string) int {
	s.t.Helper()
	for _, p := range s.processes() {
		if p.Name == name {
			return p.PID
		}
	}
	return 0
}

// TestKillUnderLoad kills services at random moments while customers buy.
func TestKillUnderLoad(t *testing.T) {
	s := start(t, "split", nil)
	shop := handle("kill")
	v := s.seller(shop).sell(shop, "Kill", "10.00", 100_000).Variants[0].ID
	done := make(chan struct{})
	finished := make(chan []crashed)
	for range 8 {
		go func() {
			var mine []crashed
			for {
				select {
				case <-done:
					finished <- mine
					return
				default:
				}
				c := crashed{key: id.New(id.Event), body: checkoutBody("tok_ok"), token: "tok_ok"}
				c.body["email"] = "load@example.com"
				a, err := s.anonymous().do(http.MethodPost, "/v1/guest", obj{})
				var g struct{ Token string }
				if err != nil || json.Unmarshal(a.body, &g) != nil || g.Token == "" {
					continue
				}
				c.buyer = &client{s: s, token: g.Token}
				if a, err := c.buyer.do(http.MethodPost, "/v1/cart/items", obj{"variantId": v, "quantity": 2}); err != nil || a.status != http.StatusOK {
					continue
				}
				_, _ = c.buyer.do(http.MethodPost, "/v1/checkout", c.body, "Idempotency-Key", c.key) // answered or not: it is sent again at the end
				mine = append(mine, c)
			}
		}()
	}
	for _, name := range []string{"order", "payment", "product", "order", "product", "payment"} {
		before := s.pid(name)
		require.NoError(t, syscall.Kill(before, syscall.SIGKILL))
		eventually(t, name+" is started again", func() bool { pid := s.pid(name); return pid != 0 && pid != before })
	}
	close(done)
	n := 0
	for range 8 {
		for _, c := range <-finished {
			c.end(s)
			n++
		}
	}
	t.Logf("%d checkouts while services were killed", n)
	require.Positive(t, n)
	sagasEnd(s)
	s.verify()
}
