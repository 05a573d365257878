package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
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
	"souk/apps/voucher"
	"souk/pkg/id"
	"souk/pkg/waittest"
)

const (
	// sagaTimeout bounds how long after a restart a saga may still be open.
	sagaTimeout = 5 * time.Second
	// retryTimeout bounds a retry. A request to a process that ends meanwhile gets its answer after the gateway's
	// timeout.
	retryTimeout = 10 * time.Second
	// pointsPerSouk is how many failpoints are tested on one souk, one after the other.
	pointsPerSouk = 8
)

// checkoutFailpoints returns, by service, the failpoints that checkouts pass, refused ones included.
func checkoutFailpoints() map[string][]string {
	// No checkout passes those of released and parked sagas, of cancellations, and of the catalogue.
	elsewhere := func(name string) bool {
		parts := []string{"claim", "release", "park", "void", "refund", "product.after_commit"}
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
	}
	ofCheckout := slices.DeleteFunc(order.Failpoints(), func(name string) bool {
		return !strings.HasPrefix(name, "checkout.") || elsewhere(name)
	})
	return map[string][]string{
		"order":   ofCheckout,
		"payment": slices.DeleteFunc(payment.Failpoints(), elsewhere),
		"product": slices.DeleteFunc(product.Failpoints(), elsewhere),
		"voucher": voucher.Failpoints(),
	}
}

// chaos reports whether make chaos runs, which runs all crash tests in full.
func chaos() bool { return os.Getenv("SOUK_TEST_CHAOS") != "" }

// crashPoints returns the failpoints at which a test ends souk. make test leaves out those before a step of a saga: a
// saga is resumed there as after the step, whose result is not known then either. The tests of the order service
// cover all of them.
func crashPoints(points []string) []string {
	return slices.DeleteFunc(points, func(name string) bool {
		return !chaos() && (strings.HasPrefix(name, "checkout.before_") || strings.HasPrefix(name, "cancel.before_"))
	})
}

// interrupted is a checkout that a crash may have interrupted.
type interrupted struct {
	buyer *client
	key   string
	body  obj
	token string
	total string // that the order must have
}

// crashVoucher creates a voucher of a shop that takes 1.00 off. It returns the voucher's ID.
func (c *client) crashVoucher(shop string) string {
	c.s.t.Helper()
	var v voucherJSON
	c.post("/v1/shops/"+shop+"/vouchers", obj{
		"code":   "CRASH",
		"title":  "Crash",
		"kind":   "fixed_amount",
		"amount": obj{"currencyCode": "BRL", "amount": "1.00"},
	}).want(http.StatusCreated).into(&v)
	return v.ID
}

// beginCheckout sends a checkout that may end at a failpoint.
func beginCheckout(s *souk, v, token string) interrupted {
	s.t.Helper()
	c := interrupted{
		buyer: s.guest(), key: id.New(id.Event), body: checkoutBody(token), token: token, total: "19.00",
	}
	c.body["email"], c.body["voucherCodes"] = email("crash"), []string{"CRASH"}
	c.buyer.add(v, 2).want(http.StatusOK)
	c.buyer.timeout = retryTimeout
	// An error is ignored here, because complete sends the checkout again.
	_, _ = c.buyer.do(http.MethodPost, "/v1/checkout", c.body, "Idempotency-Key", c.key)
	return c
}

// complete sends the same checkout again until it gets its final answer. It asserts the answer that the payment token
// must lead to, no matter what happened before.
func (c interrupted) complete(s *souk) {
	s.t.Helper()
	c.buyer = &client{s: s, token: c.buyer.token, timeout: retryTimeout}
	var a *answer
	waittest.Until(s.t, func() bool {
		var err error
		a, err = c.buyer.do(http.MethodPost, "/v1/checkout", c.body, "Idempotency-Key", c.key)
		return err == nil && a.status < http.StatusInternalServerError && a.code() != "idempotency_in_flight"
	}, "a retry with the same key is not answered")
	if c.token == "tok_declined" {
		a.problem(http.StatusPaymentRequired, "payment_declined")
		return
	}
	require.Equal(s.t, c.total, a.order().Total.Amount)
	waittest.Until(s.t, func() bool {
		tab, err := c.buyer.do(http.MethodPost, "/v1/checkout", c.body, "Idempotency-Key", id.New(id.Event))
		if err != nil {
			return false
		}
		require.NotEqual(s.t, http.StatusCreated, tab.status, "the cart was ordered twice: %s", tab.body)
		return tab.code() == "cart_empty"
	}, "the ordered items stay in the cart")
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
	}, sagaTimeout, 50*time.Millisecond, "every saga ends within %s of the restart", sagaTimeout)
}

// setFailpoints sets failpoints in a running process. Work in flight may hit them at once.
func (s *souk) setFailpoints(process, spec string) {
	s.t.Helper()
	var admin string
	waittest.Until(s.t, func() bool {
		for _, p := range s.processes() {
			if p.Name == process && p.PID != 0 {
				admin = p.Admin
			}
		}
		return admin != ""
	}, "%s does not run", process)
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

// passTimeout is how long a checkout takes at most, with the steps after its answer.
const passTimeout = 1500 * time.Millisecond

// hitFailpoint reports whether the process ended within the time that a checkout takes.
func hitFailpoint(exited <-chan struct{}) bool {
	select {
	case <-exited:
		return true
	case <-time.After(passTimeout):
		return false
	}
}

// TestCrashAtEveryFailpoint ends the single process abruptly at each failpoint of the checkout and starts it again.
// Then every saga must end, every order be complete, and no money be moved twice.
func TestCrashAtEveryFailpoint(t *testing.T) {
	t.Parallel()
	all := slices.Concat(slices.Collect(maps.Values(checkoutFailpoints()))...)
	points := crashPoints(slices.Sorted(slices.Values(all)))
	for some := range slices.Chunk(points, pointsPerSouk) {
		t.Run("from "+some[0], func(t *testing.T) {
			t.Parallel()
			s := start(t, "inprocess", []string{"SOUK_FAILPOINTS="})
			shop := handle("crash")
			seller := s.seller(shop)
			seller.crashVoucher(shop)
			v := seller.sell(shop, "Crash", "10.00", 100_000).Variants[0].ID
			for _, point := range some {
				t.Run(point, func(t *testing.T) { crashAt(t, s, point, v) })
			}
		})
	}
}

// crashAt ends souk at a failpoint, while a customer buys v, and starts it again.
func crashAt(t *testing.T, souk *souk, point, v string) {
	s := souk.in(t)
	defer func() { souk.process = s.process }()
	for _, token := range []string{"tok_ok", "tok_declined"} {
		s.setFailpoints("souk", point+"=exit")
		c := beginCheckout(s, v, token)
		if !hitFailpoint(s.exited) {
			continue
		}
		s.launch()
		sagasEnd(s)
		c.complete(s)
		s.verify()
		return
	}
	require.Fail(t, "no checkout passes this failpoint", point)
}

// TestCrashOfOneService ends the order, payment, product or voucher process at each failpoint of the checkout, while
// the other services run on. souk dev restarts the process.
func TestCrashOfOneService(t *testing.T) {
	if !chaos() {
		t.Skip("TestKillUnderLoad is the short form of this; make chaos runs it")
	}
	s := start(t, "split", []string{"SOUK_FAILPOINTS="})
	shop := handle("crash")
	seller := s.seller(shop)
	seller.crashVoucher(shop)
	v := seller.sell(shop, "Crash", "10.00", 100_000).Variants[0].ID
	for service, points := range checkoutFailpoints() {
		for _, point := range points {
			t.Run(service+"/"+point, func(t *testing.T) {
				s := s.in(t)
				for _, token := range []string{"tok_ok", "tok_declined"} {
					var before int
					waittest.Until(t, func() bool { before = s.pid(service); return before != 0 }, "%s does not run",
						service)
					s.setFailpoints(service, point+"=exit")
					c := beginCheckout(s, v, token)
					c.complete(s) // the customer's retry is answered even if the process ended
					if !s.ended(service, before) {
						continue
					}
					waittest.Until(t, func() bool {
						pid := s.pid(service)
						return pid != 0 && pid != before
					}, "the process is not restarted")
					sagasEnd(s)
					return
				}
				require.Fail(t, "no checkout passes this failpoint")
			})
		}
	}
	s.verify()
}

// ended reports whether a process ended within the time that a checkout takes: its last steps follow its answer.
func (s *souk) ended(name string, pid int) bool {
	s.t.Helper()
	for end := time.Now().Add(passTimeout); time.Now().Before(end); {
		if s.pid(name) != pid {
			return true
		}
	}
	return false
}

// pid returns a process's ID; 0 while the process does not run.
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
	t.Parallel()
	s := start(t, "split", nil)
	shop := handle("kill")
	seller := s.seller(shop)
	seller.crashVoucher(shop)
	v := seller.sell(shop, "Kill", "10.00", 100_000).Variants[0].ID
	done := make(chan struct{})
	finished := make(chan []interrupted, 8)
	for range 8 {
		go func() {
			var mine []interrupted
			for {
				select {
				case <-done:
					finished <- mine
					return
				default:
				}
				c := interrupted{
					key: id.New(id.Event), body: checkoutBody("tok_ok"), token: "tok_ok", total: "19.00",
				}
				c.body["email"], c.body["voucherCodes"] = "load@example.com", []string{"CRASH"}
				a, err := s.anonymous().do(http.MethodPost, "/v1/guest", obj{})
				var g struct{ Token string }
				if err != nil || json.Unmarshal(a.body, &g) != nil || g.Token == "" {
					continue
				}
				c.buyer = &client{s: s, token: g.Token}
				item := obj{"variantId": v, "quantity": 2}
				a, err = c.buyer.do(http.MethodPost, "/v1/cart/items", item)
				if err != nil || a.status != http.StatusOK {
					continue
				}
				// An error is ignored here, because complete sends the checkout again.
				_, _ = c.buyer.do(http.MethodPost, "/v1/checkout", c.body, "Idempotency-Key", c.key)
				mine = append(mine, c)
			}
		}()
	}
	for _, name := range []string{"order", "voucher", "payment", "product", "order", "product", "voucher", "payment"} {
		before := s.pid(name)
		require.NoError(t, syscall.Kill(before, syscall.SIGKILL))
		waittest.Until(t, func() bool { pid := s.pid(name); return pid != 0 && pid != before }, "%s is not restarted",
			name)
	}
	close(done)
	n := 0
	for range 8 {
		select {
		case checkouts := <-finished:
			for _, c := range checkouts {
				c.complete(s)
				n++
			}
		case <-time.After(4 * time.Minute): // a purchase is three requests of at most one minute each
			require.Fail(t, "a customer did not stop in time")
		}
	}
	t.Logf("%d checkouts while services were killed", n)
	require.Positive(t, n)
	sagasEnd(s)
	s.verify()
}
