package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/waittest"
)

// testCancelPart buys from three shops: the first ships itself, the second cancels with a reason, and the customer
// cancels the rest.
func testCancelPart(t *testing.T, s *souk) {
	shops := []string{handle("part"), handle("part"), handle("part")}
	sellers, variants := make([]*client, len(shops)), make([]string, len(shops))
	to := email("part")
	u := s.user(to, "customer")
	for i, shop := range shops {
		sellers[i] = s.seller(shop)
		variants[i] = sellers[i].sell(shop, "Part", "10.00", 5).Variants[0].ID
		u.add(variants[i], 2).want(http.StatusOK)
	}
	order := u.checkout("tok_ok").order()
	parts := make([]string, len(shops))
	for i, c := range sellers {
		var list struct {
			ShopOrders []struct {
				ID, OrderNumber string
				Buyer           struct{ Name, Email string }
			}
		}
		c.get("/v1/shops/" + shops[i] + "/orders").want(http.StatusOK).into(&list)
		require.Len(t, list.ShopOrders, 1)
		require.Equal(t, order.Number, list.ShopOrders[0].OrderNumber)
		require.Equal(t, to, list.ShopOrders[0].Buyer.Email)
		require.Equal(t, "Ana Souza", list.ShopOrders[0].Buyer.Name)
		parts[i] = list.ShopOrders[0].ID
	}
	waittest.Until(t, func() bool {
		return sellers[0].post("/v1/shop-orders/"+parts[0]+":ship", obj{}).status == http.StatusOK
	}, "the shop order is not shipped")
	cancel := obj{"reason": "the last one is broken"}
	sellers[1].post("/v1/shop-orders/"+parts[2]+":cancel", cancel).problem(http.StatusNotFound, "not_found")
	sellers[1].post("/v1/shop-orders/"+parts[1]+":cancel", obj{}).problem(http.StatusBadRequest, "invalid_argument")
	u.post("/v1/operator/orders/"+order.ID+":cancel", cancel).problem(http.StatusForbidden, "forbidden")
	sellers[1].post("/v1/shop-orders/"+parts[1]+":cancel", cancel).want(http.StatusOK)
	waittest.Until(t, func() bool {
		var mail struct {
			Messages []struct{ Subject, Text string }
		}
		u.get("/dev/mail?to=" + to).want(http.StatusOK).into(&mail)
		for _, m := range mail.Messages {
			if m.Subject == "A part of your order "+order.Number+" was cancelled" {
				return true
			}
		}
		return false
	}, "no mail says so")

	var after struct {
		Status     string
		Payment    struct{ Status string }
		Remaining  moneyJSON
		ShopOrders []struct {
			ID, Status   string
			Cancellation struct{ By, Reason string }
		}
	}
	u.post("/v1/orders/"+order.ID+":cancel", obj{"reason": "too late"}).want(http.StatusOK).into(&after)
	require.Equal(t, "shipped", after.Status)
	require.Equal(t, "partially_refunded", after.Payment.Status)
	require.Equal(t, "20.00", after.Remaining.Amount)
	by := map[string]string{}
	for _, p := range after.ShopOrders {
		by[p.ID] = strings.TrimSpace(p.Status + " " + p.Cancellation.By + " " + p.Cancellation.Reason)
	}
	require.Equal(t, map[string]string{
		parts[0]: "shipped", parts[1]: "cancelled shop the last one is broken", parts[2]: "cancelled customer too late",
	}, by)
	for i, want := range []string{"3", "5", "5"} {
		require.Equal(t, want, sellers[i].stockWithoutReservations(shops[i], variants[i]).OnHand)
	}

	// Cash on delivery is not for guests.
	g := s.guest()
	g.add(variants[2], 1).want(http.StatusOK)
	body := checkoutBody("")
	body["email"], body["payment"] = email("cash"), obj{"method": "cod"}
	g.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).
		problem(http.StatusUnprocessableEntity, "unprocessable")
}
