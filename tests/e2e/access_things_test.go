package e2e

import (
	"maps"
	"net/http"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/waittest"
)

func (w *accessWorld) newProduct() productJSON {
	return w.callers[shopOwner].sell(w.shop, "Matrix", "10.00", 5)
}

// newOrder places an order of the customer.
func (w *accessWorld) newOrder() orderJSON {
	c := w.callers[aCustomer]
	c.send(http.MethodDelete, "/v1/cart", nil).want(http.StatusOK)
	c.add(w.variant, 1).want(http.StatusOK)
	return c.checkout("tok_ok").order()
}

// newPurchase sells a product to the customer and returns it.
func (w *accessWorld) newPurchase() string {
	p, c := w.newProduct(), w.callers[aCustomer]
	c.send(http.MethodDelete, "/v1/cart", nil).want(http.StatusOK)
	c.add(p.Variants[0].ID, 1).want(http.StatusOK)
	c.checkout("tok_ok").order()
	return p.ID
}

func (w *accessWorld) newReview() string {
	var r struct{ ID string }
	path := "/v1/products/" + w.newPurchase() + "/reviews"
	w.callers[aCustomer].post(path, obj{"rating": 5}).want(http.StatusCreated).into(&r)
	return r.ID
}

func (w *accessWorld) newAddress() string {
	var a struct{ ID string }
	w.callers[aCustomer].post("/v1/me/addresses", address).want(http.StatusCreated).into(&a)
	return a.ID
}

func (w *accessWorld) newVoucher() string {
	var v struct{ ID string }
	body := maps.Clone(voucherBody)
	body["code"] = handle("matrix")
	w.callers[shopOwner].post("/v1/shops/"+w.shop+"/vouchers", body).want(http.StatusCreated).into(&v)
	return v.ID
}

// newWebhook creates a webhook of the shop, in place of the one before.
func (w *accessWorld) newWebhook() string {
	var listed struct{ Webhooks []struct{ ID string } }
	path := "/v1/shops/" + w.shop + "/webhooks"
	w.callers[shopOwner].get(path).want(http.StatusOK).into(&listed)
	for _, old := range listed.Webhooks {
		w.callers[shopOwner].send(http.MethodDelete, "/v1/webhooks/"+old.ID, nil).want(http.StatusOK)
	}
	var v struct{ ID string }
	w.callers[shopOwner].post(path, webhookBody).want(http.StatusCreated).into(&v)
	return v.ID
}

func (w *accessWorld) newDelivery() string {
	var d struct{ ID string }
	w.callers[shopOwner].post("/v1/webhooks/"+w.newWebhook()+":test", obj{}).want(http.StatusOK).into(&d)
	return d.ID
}

func (w *accessWorld) newFlag() string {
	key := handle("flag")
	w.callers[anOperator].send(http.MethodPut, "/v1/operator/flags/"+key, flagBody(false)).want(http.StatusOK)
	return key
}

// newNotification returns the latest one of the customer, who has ordered.
func (w *accessWorld) newNotification() string {
	w.newOrder()
	var list struct{ Notifications []struct{ ID string } }
	waittest.Until(w.s.t, func() bool {
		w.callers[aCustomer].get("/v1/me/notifications").want(http.StatusOK).into(&list)
		return len(list.Notifications) > 0
	}, "the customer gets no notification")
	return list.Notifications[0].ID
}

func (w *accessWorld) invite(owner *client, shop, to string) string {
	var i struct{ ID string }
	owner.post("/v1/shops/"+shop+"/invitations", obj{"email": to, "role": "staff"}).want(http.StatusCreated).into(&i)
	return i.ID
}

// join makes a user a member of the shop's staff.
func (w *accessWorld) join(c *client, to string) {
	invitation := w.invite(w.callers[shopOwner], w.shop, to)
	c.post("/v1/me/invitations/"+invitation+":accept", obj{}).want(http.StatusOK)
}

func (w *accessWorld) newMember() string {
	to := email("member")
	token, err := w.s.access().token(to, "customer")
	require.NoError(w.s.t, err)
	c := &client{s: w.s, token: token}
	w.join(c, to)
	return w.userID(c)
}

// newGuestOrder returns an order of a guest, which was shipped.
func (w *accessWorld) newGuestOrder() string {
	g := w.s.guest()
	g.add(w.variant, 1).want(http.StatusOK)
	body := checkoutBody("tok_ok")
	body["email"] = email("matrix-guest")
	o := g.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	ship := "/v1/shop-orders/" + o.ShopOrders[0].ID + ":ship"
	waittest.Until(w.s.t, func() bool { // the payment may still be being collected
		return w.callers[shopOwner].post(ship, obj{"carrier": "Correios"}).status == http.StatusOK
	}, "the order cannot be shipped")
	return o.ID
}

func (w *accessWorld) newUser() string {
	token, err := w.s.access().token(email("matrix-user"), "customer")
	require.NoError(w.s.t, err)
	return w.userID(&client{s: w.s, token: token})
}

func (w *accessWorld) userID(c *client) string {
	var me struct{ ID string }
	c.get("/v1/me").want(http.StatusOK).into(&me)
	return me.ID
}

// keyJSON is an API key.
type keyJSON struct {
	ID, Secret, Prefix string
	LastUsedAt         *string
}

// newKey creates an API key of a shop.
func newKey(owner *client, shop string, scopes ...string) keyJSON {
	owner.s.t.Helper()
	var k keyJSON
	owner.post("/v1/shops/"+shop+"/api-keys", obj{"name": "Matrix", "scopes": scopes}).want(http.StatusCreated).into(&k)
	return k
}

// keyOf returns a client with a new API key of a shop.
func (w *accessWorld) keyOf(owner *client, shop string, scopes ...string) *client {
	return &client{s: w.s, token: newKey(owner, shop, scopes...).Secret}
}

func (w *accessWorld) newKeyID() string { return newKey(w.callers[shopOwner], w.shop, "order.read").ID }
