package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/waittest"
)

// TestSuite runs the tests that must pass in every topology. All tests of a topology share one souk.
func TestSuite(t *testing.T) {
	t.Parallel()
	topologies := map[string]func(testing.TB) *souk{}
	for mode := range modes {
		// All that it has is in split, too, and it takes as long as that.
		if mode == "nats" && os.Getenv("SOUK_E2E_ALL") == "" {
			continue
		}
		topologies[mode] = func(t testing.TB) *souk { return start(t, mode, plantedEnv(), "--demo") }
	}
	if onClustered() {
		topologies = map[string]func(testing.TB) *souk{"clustered": startClustered}
	}
	for topology, start := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.refusals = &refusals{tokens: canaries{}}
			for name, test := range map[string]func(*testing.T, *souk){
				"tour":                  testTour,
				"guest":                 testGuest,
				"address book":          testAddressBook,
				"reviews":               testReviews,
				"a guest's review":      testReviewOfAGuestsPurchase,
				"vouchers":              testVouchers,
				"last uses":             testLastUses,
				"large cart":            testLargeCart,
				"one cart":              testOneCart,
				"sign-in at a checkout": testSignInDuringCheckout,
				"expected total":        testExpectedTotal,
				"declined":              testDeclined,
				"lost provider answer":  testLostProviderAnswer,
				"cancel":                testCancel,
				"ship and deliver":      testShip,
				"cancel a part":         testCancelPart,
				"last pieces":           testLastPieces,
				"one idempotency key":   testOneKey,
				"other people's things": testOtherPeoplesThings,
				"forged identity":       testForgedIdentity,
				"sales by day":          testSales,
				"settings":              testSettings,
				"roles":                 testRoles,
				"masking":               testMasking,
				"second operator":       testSecondOperator,
				"API keys":              testAPIKeys,
				"accounts":              testAccounts,
				"audit trail":           testAudit,
				"security events":       testSecurityEvents,
				"webhooks":              testWebhooks,
			} {
				t.Run(name, func(t *testing.T) { test(t, s.in(t)) })
			}
			s.in(t).verify()
			if s.deployment == nil {
				s.in(t).noLeaks()
			}
		})
	}
}

// in returns s as seen from a subtest.
func (s *souk) in(t testing.TB) *souk {
	c := *s
	c.t = t
	if s.deployment != nil {
		d := *s.deployment
		d.souk, c.deployment = &c, &d
	}
	return &c
}

// email returns an address that no other test uses.
func email(name string) string { return name + "." + id.New(id.User)[20:] + "@example.com" }

func handle(name string) string { return name + "-" + id.New(id.Shop)[20:] }

// testTour follows the README's tour.
func testTour(t *testing.T, s *souk) {
	find := func(query string) productJSON {
		var found productsJSON
		s.anonymous().get("/v1/products?query=" + query).want(http.StatusOK).into(&found)
		require.NotEmpty(t, found.Products)
		return found.Products[0]
	}
	teapot, vinyl := find("teapot"), find("vinyl")
	require.Equal(t, "Clay Teapot", teapot.Title)
	require.NotEqual(t, teapot.ShopID, vinyl.ShopID)

	to := email("ana")
	ana := s.user(to, "customer")
	var cart cartJSON
	ana.add(teapot.Variants[0].ID, 2).want(http.StatusOK)
	ana.add(vinyl.Variants[0].ID, 1).want(http.StatusOK).into(&cart)
	require.Len(t, cart.Items, 2)
	require.Equal(t, moneyJSON{"BRL", "577.00"}, cart.Total, "2 × 159.00 + 259.00")

	traceID := "4bf92f3577b34da6" + id.New(id.Event)[20:36]
	res := ana.post("/v1/checkout", checkoutBody("tok_ok"),
		"Idempotency-Key", id.New(id.Event), "Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	order := res.order()
	require.Equal(t, "confirmed", order.Status)
	require.Equal(t, moneyJSON{"BRL", "577.00"}, order.Total)
	require.Len(t, order.ShopOrders, 2, "split by shop")
	require.Equal(t, "/v1/orders/"+order.ID, res.header.Get("Location"))

	waittest.Until(t, func() bool {
		var o orderJSON
		ana.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&o)
		return o.Payment.Status == "captured"
	}, "the payment is not captured")
	waittest.Until(t, func() bool {
		var c cartJSON
		ana.get("/v1/cart").want(http.StatusOK).into(&c)
		return len(c.Items) == 0
	}, "the cart is not empty")
	waittest.Until(t, func() bool {
		var mail struct {
			Messages []struct{ Subject, Text string }
		}
		ana.get("/dev/mail?to=" + to).want(http.StatusOK).into(&mail)
		return len(mail.Messages) == 1 && strings.Contains(mail.Messages[0].Subject+mail.Messages[0].Text, order.Number)
	}, "not one confirmation mail arrives")
	waittest.Until(t, func() bool {
		var tr struct {
			Spans []struct{ Service, Name string }
		}
		a := ana.get("/dev/traces/" + traceID)
		if a.status != http.StatusOK {
			return false
		}
		a.into(&tr)
		services := map[string]bool{}
		for _, sp := range tr.Spans {
			services[sp.Service] = true
		}
		return services["gateway"] && services["order"] && services["product"] && services["payment"] &&
			services["notification"]
	}, "no trace joins gateway, order, product, payment and the mail")
}

func testGuest(t *testing.T, s *souk) {
	shop := handle("guest")
	seller := s.seller(shop)
	p := seller.sell(shop, "Guest's Choice", "10.00", 5)
	g := s.guest()
	g.add(p.Variants[0].ID, 1).want(http.StatusOK)
	fields := g.checkout("tok_ok").problem(http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"email"}, fields)
	to := email("guest")
	body := checkoutBody("tok_ok")
	body["email"] = to
	order := g.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	g.get("/v1/orders/" + order.ID).want(http.StatusOK)
	s.guest().get("/v1/orders/"+order.ID).problem(http.StatusNotFound, "not_found")
	waittest.Until(t, func() bool {
		var mail struct{ Messages []struct{ Subject string } }
		g.get("/dev/mail?to=" + to).want(http.StatusOK).into(&mail)
		return len(mail.Messages) == 1
	}, "the guest gets no mail")

	other := s.guest()
	other.add(p.Variants[0].ID, 2).want(http.StatusOK)
	user := s.user(email("merged"), "customer")
	user.add(p.Variants[0].ID, 1).want(http.StatusOK)
	user.post("/v1/me/guest:merge", obj{"guestToken": other.token}).want(http.StatusOK)
	var cart cartJSON
	user.get("/v1/cart").want(http.StatusOK).into(&cart)
	require.Len(t, cart.Items, 1)
	require.Equal(t, "3", cart.Items[0].Quantity)

	user.post("/v1/me/guest:merge", obj{"guestToken": g.token}).want(http.StatusOK)
	user.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&order)
	user.get("/v1/payments/" + order.Payment.ID).want(http.StatusOK)
	g.get("/v1/orders/"+order.ID).problem(http.StatusNotFound, "not_found")
}

func testDeclined(t *testing.T, s *souk) {
	shop := handle("declined")
	seller := s.seller(shop)
	p := seller.sell(shop, "Declined", "10.00", 5)
	u := s.user(email("declined"), "customer")
	u.add(p.Variants[0].ID, 2).want(http.StatusOK)
	for _, token := range []string{"tok_declined", "tok_insufficient_funds", "tok_unheard_of"} {
		key := id.New(id.Event)
		u.post("/v1/checkout", checkoutBody(token), "Idempotency-Key", key).
			problem(http.StatusPaymentRequired, "payment_declined")
		again := u.post("/v1/checkout", checkoutBody(token), "Idempotency-Key", key)
		again.problem(http.StatusPaymentRequired, "payment_declined")
		require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
	}
	st := seller.stockWithoutReservations(shop, p.Variants[0].ID)
	require.Equal(t, "5", st.OnHand)
	order := u.checkout("tok_ok").order() // the refused checkouts have kept the cart
	require.Equal(t, "20.00", order.Total.Amount)
	require.Equal(t, "3", seller.stockWithoutReservations(shop, p.Variants[0].ID).OnHand)
}

func testLostProviderAnswer(t *testing.T, s *souk) {
	shop := handle("lost")
	seller := s.seller(shop)
	p := seller.sell(shop, "Lost", "10.00", 50)
	u := s.user(email("lost"), "customer")
	for _, token := range []string{"tok_timeout_then_ok", "tok_error_then_ok", "tok_slow"} {
		u.add(p.Variants[0].ID, 1).want(http.StatusOK)
		order := u.checkout(token).order()
		waittest.Until(t, func() bool {
			var o orderJSON
			u.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&o)
			return o.Payment.Status == "captured"
		}, "the payment with %s is not captured", token)
		waittest.Until(t, func() bool {
			var c cartJSON
			u.get("/v1/cart").want(http.StatusOK).into(&c)
			return len(c.Items) == 0
		}, "the cart is not empty")
	}
}

func testCancel(t *testing.T, s *souk) {
	shop := handle("cancel")
	seller := s.seller(shop)
	p := seller.sell(shop, "Cancelled", "10.00", 5)
	u := s.user(email("cancel"), "customer")
	u.add(p.Variants[0].ID, 2).want(http.StatusOK)
	order := u.checkout("tok_ok").order()
	require.Equal(t, "3", seller.stockWithoutReservations(shop, p.Variants[0].ID).OnHand)
	for range 2 { // a second cancellation has no effect
		waittest.Until(t, func() bool {
			a := u.post("/v1/orders/"+order.ID+":cancel", obj{"reason": "changed my mind"})
			return a.status == http.StatusOK
		}, "the order is not cancelled")
	}
	waittest.Until(t, func() bool {
		var o orderJSON
		u.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&o)
		return o.Status == "cancelled" && (o.Payment.Status == "refunded" || o.Payment.Status == "voided")
	}, "the payment is not given back")
	waittest.Until(t, func() bool { return seller.stock(shop, p.Variants[0].ID).OnHand == "5" },
		"the stock is not given back")
}

func testShip(t *testing.T, s *souk) {
	shop, other := handle("ship"), handle("ship")
	seller, otherSeller := s.seller(shop), s.seller(other)
	p, q := seller.sell(shop, "Shipped", "10.00", 5), otherSeller.sell(other, "Shipped later", "20.00", 5)
	u := s.user(email("ship"), "customer")
	u.add(p.Variants[0].ID, 1).want(http.StatusOK)
	u.add(q.Variants[0].ID, 1).want(http.StatusOK)
	order := u.checkout("tok_ok").order()
	shopOrder := func(c *client, shop string) string {
		var list struct{ ShopOrders []shopOrderJSON }
		c.get("/v1/shops/" + shop + "/orders").want(http.StatusOK).into(&list)
		require.Len(t, list.ShopOrders, 1)
		return list.ShopOrders[0].ID
	}
	mine, theirs := shopOrder(seller, shop), shopOrder(otherSeller, other)
	ship := obj{"carrier": "Correios", "trackingNumber": "BR123"}
	seller.post("/v1/shop-orders/"+theirs+":ship", ship).problem(http.StatusNotFound, "not_found")
	u.post("/v1/shop-orders/"+mine+":ship", ship).problem(http.StatusNotFound, "not_found")
	seller.post("/v1/shop-orders/"+mine+":deliver", obj{}).problem(http.StatusConflict, "conflict")
	waittest.Until(t, func() bool {
		return seller.post("/v1/shop-orders/"+mine+":ship", ship).status == http.StatusOK
	}, "the shop order is not shipped")
	u.post("/v1/orders/"+order.ID+":cancel", obj{"shopOrderIds": []string{mine}}).
		problem(http.StatusConflict, "conflict")
	status := func() string {
		var o orderJSON
		u.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&o)
		return o.Status
	}
	require.Equal(t, "confirmed", status(), "the other shop order is not shipped")
	otherSeller.post("/v1/shop-orders/"+theirs+":ship", ship).want(http.StatusOK)
	require.Equal(t, "shipped", status())
	u.post("/v1/orders/"+order.ID+":cancel", obj{}).problem(http.StatusConflict, "conflict")
	seller.post("/v1/shop-orders/"+mine+":deliver", obj{}).want(http.StatusOK)
	otherSeller.post("/v1/shop-orders/"+theirs+":deliver", obj{}).want(http.StatusOK)
	require.Equal(t, "delivered", status())
}

// testLastPieces lets 200 customers check out the last 10 pieces at the same time. Exactly 10 get an order.
func testLastPieces(t *testing.T, s *souk) {
	const stock, customers = 10, 200
	shop := handle("last")
	seller := s.seller(shop)
	p := seller.sell(shop, "Last Pieces", "10.00", stock)
	buyers := make([]*client, customers)
	for i := range buyers {
		buyers[i] = s.guest()
		buyers[i].add(p.Variants[0].ID, 1).want(http.StatusOK)
	}
	var sold, out, other atomic.Int64
	var wg sync.WaitGroup
	for i, b := range buyers {
		wg.Go(func() {
			body := checkoutBody("tok_ok")
			body["email"] = fmt.Sprintf("buyer%d@example.com", i)
			a, err := b.do(http.MethodPost, "/v1/checkout", body, "Idempotency-Key", id.New(id.Event))
			switch {
			case err == nil && a.status == http.StatusCreated:
				sold.Add(1)
			case err == nil && a.status == http.StatusConflict && a.code() == "out_of_stock":
				out.Add(1)
			default:
				other.Add(1)
				if err == nil {
					t.Logf("%d %s", a.status, a.body)
				} else {
					t.Log(err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, stock, sold.Load())
	require.EqualValues(t, customers-stock, out.Load())
	require.Zero(t, other.Load())
	require.Equal(t, "0", seller.stockWithoutReservations(shop, p.Variants[0].ID).OnHand)
}

// testOneCart sends eight checkouts of one cart at once, each with its own key. One of them orders it.
func testOneCart(t *testing.T, s *souk) {
	shop := handle("cart")
	seller := s.seller(shop)
	v := seller.sell(shop, "One Cart", "10.00", 100).Variants[0].ID
	for name, buyer := range map[string]*client{"user": s.user(email("cart"), "customer"), "guest": s.guest()} {
		buyer.add(v, 3).want(http.StatusOK)
		body := checkoutBody("tok_ok")
		body["email"] = email("cart")
		var mu sync.Mutex
		var placed []orderJSON
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				a, err := buyer.do(http.MethodPost, "/v1/checkout", body, "Idempotency-Key", id.New(id.Event))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case a.status == http.StatusCreated:
					placed = append(placed, a.order())
				case a.code() != "checkout_in_progress" && a.code() != "cart_empty":
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		wg.Wait()
		require.Len(t, placed, 1, name)
		buyer.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).
			problem(http.StatusUnprocessableEntity, "cart_empty")
		// What is put in the cart next is another order.
		buyer.add(v, 1).want(http.StatusOK)
		buyer.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	}
	require.Equal(t, "92", seller.stockWithoutReservations(shop, v).OnHand)
}

// testSignInDuringCheckout merges a guest into a user while a checkout of the guest's cart is in flight.
func testSignInDuringCheckout(t *testing.T, s *souk) {
	shop := handle("signin")
	v := s.seller(shop).sell(shop, "Sign-in", "10.00", 100).Variants[0].ID
	guest, user := s.guest(), s.user(email("signin"), "customer")
	guest.add(v, 2).want(http.StatusOK)
	user.add(v, 1).want(http.StatusOK)
	body := checkoutBody("tok_slow")
	body["email"] = email("signin")
	done := make(chan *answer, 1)
	go func() {
		a, err := guest.do(http.MethodPost, "/v1/checkout", body, "Idempotency-Key", id.New(id.Event))
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	waittest.Until(t, func() bool {
		var list struct{ Orders []orderJSON }
		guest.get("/v1/orders").want(http.StatusOK).into(&list)
		return len(list.Orders) == 1
	}, "the checkout does not begin")
	user.post("/v1/me/guest:merge", obj{"guestToken": guest.token}).want(http.StatusOK)
	user.checkout("tok_ok").problem(http.StatusConflict, "checkout_in_progress")
	a := waittest.Receive(t, done)
	require.NotNil(t, a)
	order := a.order()
	var cart cartJSON
	user.get("/v1/cart").want(http.StatusOK).into(&cart)
	require.Len(t, cart.Items, 1)
	require.Equal(t, "1", cart.Items[0].Quantity, "what the guest ordered has left the user's cart")
	user.get("/v1/orders/" + order.ID).want(http.StatusOK)
	require.Equal(t, "10.00", user.checkout("tok_ok").order().Total.Amount)
}

func testExpectedTotal(t *testing.T, s *souk) {
	shop := handle("price")
	seller := s.seller(shop)
	p := seller.sell(shop, "Price", "10.00", 100)
	u := s.user(email("price"), "customer")
	u.add(p.Variants[0].ID, 2).want(http.StatusOK)
	body := checkoutBody("tok_ok")
	body["expectedTotal"] = obj{"currencyCode": "BRL", "amount": "19.99"}
	a := u.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event))
	a.problem(http.StatusConflict, "price_changed")
	var problem struct{ Quote struct{ Total moneyJSON } }
	a.into(&problem)
	require.Equal(t, moneyJSON{"BRL", "20.00"}, problem.Quote.Total)
	body["expectedTotal"] = obj{"currencyCode": "BRL", "amount": "20.00"}
	require.Equal(t, "20.00", u.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order().Total.Amount)
}

// testOneKey sends 100 concurrent checkouts with one Idempotency-Key. They lead to one order and one capture.
func testOneKey(t *testing.T, s *souk) {
	shop := handle("key")
	seller := s.seller(shop)
	p := seller.sell(shop, "One Key", "10.00", 100)
	u := s.user(email("key"), "customer")
	u.add(p.Variants[0].ID, 3).want(http.StatusOK)
	key := id.New(id.Event)
	var mu sync.Mutex
	orders, conflicts := map[string]int{}, 0
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			a, err := u.do(http.MethodPost, "/v1/checkout", checkoutBody("tok_ok"), "Idempotency-Key", key)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case a.status == http.StatusCreated:
				orders[a.order().ID]++
			case a.status == http.StatusConflict && a.code() == "idempotency_in_flight":
				conflicts++
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	require.Len(t, orders, 1, "%d in flight", conflicts)
	require.Equal(t, "97", seller.stockWithoutReservations(shop, p.Variants[0].ID).OnHand)
	var list struct{ Orders []orderJSON }
	u.get("/v1/orders").want(http.StatusOK).into(&list)
	require.Len(t, list.Orders, 1)
	other := checkoutBody("tok_ok")
	other["payment"] = obj{"method": "wallet", "token": "tok_ok"}
	u.post("/v1/checkout", other, "Idempotency-Key", key).
		problem(http.StatusUnprocessableEntity, "idempotency_mismatch")
}

func testOtherPeoplesThings(t *testing.T, s *souk) {
	shop := handle("mine")
	seller := s.seller(shop)
	p := seller.sell(shop, "Mine", "10.00", 5)
	v := p.Variants[0].ID
	alice, mallory := s.user(email("alice"), "customer"), s.seller(handle("mallory"))
	alice.add(v, 1).want(http.StatusOK)
	order := alice.checkout("tok_ok").order()
	const no, code = http.StatusNotFound, "not_found"
	mallory.get("/v1/orders/"+order.ID).problem(no, code)
	mallory.post("/v1/orders/"+order.ID+":cancel", obj{}).problem(no, code)
	mallory.get("/v1/payments/"+order.Payment.ID).problem(no, code)
	mallory.send(http.MethodPatch, "/v1/products/"+p.ID, obj{"title": "Stolen"}).problem(no, code)
	mallory.send(http.MethodDelete, "/v1/products/"+p.ID, nil).problem(no, code)
	mallory.send(http.MethodPut, "/v1/variants/"+v+"/stock", obj{"onHand": 0}).problem(no, code)
	mallory.get("/v1/shops/"+shop+"/orders").problem(no, code)
	mallory.get("/v1/shops/"+shop+"/products").problem(no, code)
	added := obj{"title": "x", "variants": []obj{{"sku": "x", "price": obj{"currencyCode": "BRL", "amount": "1.00"}}}}
	mallory.post("/v1/shops/"+shop+"/products", added).problem(no, code)
	mallory.send(http.MethodPatch, "/v1/shops/"+shop, obj{"name": "Stolen"}).problem(no, code)
	mallory.get("/v1/operator/users").problem(http.StatusForbidden, "forbidden")
	var cart cartJSON
	mallory.get("/v1/cart").want(http.StatusOK).into(&cart)
	require.Empty(t, cart.Items)
	s.anonymous().get("/v1/orders").problem(http.StatusUnauthorized, "unauthenticated")
	var after productJSON
	s.anonymous().get("/v1/products/" + p.ID).want(http.StatusOK).into(&after)
	require.Equal(t, "Mine", after.Title)
}
