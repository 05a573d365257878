package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
	"souk/apps/payment"
	"souk/apps/product"
	"souk/pkg/id"
	"souk/pkg/waittest"
)

// cancelFailpoints returns the failpoints that cancellations pass.
func cancelFailpoints() []string {
	// No cancellation here is refused or given up.
	elsewhere := func(name string) bool {
		parts := []string{"claim", "release", "park", "compensating", "undo", "checkpoint"}
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
	}
	points := slices.DeleteFunc(order.Failpoints(), func(name string) bool {
		return !strings.HasPrefix(name, "cancel.") || elsewhere(name)
	})
	for _, name := range payment.Failpoints() {
		if strings.Contains(name, "refund") {
			points = append(points, name)
		}
	}
	for _, name := range product.Failpoints() {
		if strings.Contains(name, "stock") {
			points = append(points, name)
		}
	}
	return points
}

// TestCrashAtEveryFailpointOfACancellation ends the single process abruptly at each failpoint of a cancellation and
// starts it again. A shop cancels its part of an order; the other shop's part stays.
func TestCrashAtEveryFailpointOfACancellation(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", []string{"SOUK_FAILPOINTS="})
	shops := []string{handle("crash"), handle("crash")}
	variants := make([]string, len(shops))
	for i, shop := range shops {
		variants[i] = s.seller(shop).sell(shop, "Crash", "10.00", 100_000).Variants[0].ID
	}
	for _, point := range crashPoints(cancelFailpoints()) {
		t.Run(point, func(t *testing.T) { crashCancellation(t, s, point, shops[0], variants) })
	}
}

func crashCancellation(t *testing.T, souk *souk, point, shop string, variants []string) {
	s := souk.in(t)
	defer func() { souk.process = s.process }()
	seller, buyer := s.seller(shop), s.guest()
	for _, v := range variants {
		buyer.add(v, 2).want(http.StatusOK)
	}
	body := checkoutBody("tok_ok")
	body["email"] = email("crash")
	placed := buyer.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	sagasEnd(s)
	var list struct{ ShopOrders []shopOrderJSON }
	seller.get("/v1/shops/" + shop + "/orders?pageSize=1").want(http.StatusOK).into(&list)
	part := list.ShopOrders[0].ID

	s.setFailpoints("souk", point+"=exit")
	path, reason := "/v1/shop-orders/"+part+":cancel", obj{"reason": "sold out"}
	// An error is ignored here, because the cancellation is sent again.
	_, _ = seller.do(http.MethodPost, path, reason)
	require.True(t, hitFailpoint(s.exited), "no cancellation passes this failpoint")
	s.launch()
	sagasEnd(s)
	seller, buyer = &client{s: s, token: seller.token}, &client{s: s, token: buyer.token}
	waittest.Until(t, func() bool {
		a, err := seller.do(http.MethodPost, path, reason)
		return err == nil && a.status == http.StatusOK
	}, "the cancellation is not answered")
	var o orderJSON
	buyer.get("/v1/orders/" + placed.ID).want(http.StatusOK).into(&o)
	require.Equal(t, "confirmed", o.Status)
	require.Equal(t, "partially_refunded", o.Payment.Status)
	for _, p := range o.ShopOrders {
		require.Equal(t, p.ID == part, p.Status == "cancelled", "%s is %s", p.ID, p.Status)
	}
	s.verify()
}
