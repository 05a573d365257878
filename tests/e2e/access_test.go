package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/permission"
)

// The callers of the access matrix, by letter.
const (
	nobody        = 'N'
	aGuest        = 'G'
	aCustomer     = 'C' // whose order, address and invitation it is
	otherCustomer = 'O'
	shopOwner     = 'S' // of the shop that it is about
	shopStaff     = 'T' // with all that staff may do
	packer        = 'Z' // staff with order.read alone
	otherSeller   = 'X'
	aSupporter    = 'P'
	anAuditor     = 'U'
	anOperator    = 'A'
	anAdmin       = 'M'
	aKey          = 'K' // an API key of the shop, with all that a key may have
	aNarrowKey    = 'L' // one with product.read alone
	aForeignKey   = 'F' // one of another shop, with all that a key may have

	everybody = "NGCOSTZXPUAMKLF"
	signedIn  = "COSTZXPUAM"
	withCart  = "G" + signedIn
)

// accessMatrix says who may call each operation. Everybody else gets 401, 403 or 404.
var accessMatrix = map[string]struct {
	who  string
	body any
}{
	"GET /health/live":                           {who: everybody},
	"GET /health/ready":                          {who: everybody},
	"GET /v1/address-formats/{countryCode}":      {who: everybody},
	"GET /v1/categories":                         {who: everybody},
	"GET /v1/products":                           {who: everybody},
	"GET /v1/products/{id}":                      {who: everybody},
	"GET /v1/products/by-handle/{shop}/{handle}": {who: everybody},
	"GET /v1/shops":                              {who: everybody},
	"GET /v1/shops/{id}":                         {who: everybody},
	"POST /v1/guest":                             {who: everybody, body: obj{}},
	"POST /auth/logout":                          {who: everybody},
	"GET /auth/login":                            {who: everybody},
	"GET /auth/callback": {
		who: "",
	}, // only the browser that has begun a sign-in
	"POST /v1/webhooks/payments/{provider}": {who: "", body: obj{}}, // the signature decides
	"GET /v1/cart":                          {who: withCart},
	"DELETE /v1/cart":                       {who: withCart},
	"POST /v1/cart/items": {
		who:  withCart,
		body: obj{"variantId": "{variant}", "quantity": 1},
	},
	"PATCH /v1/cart/items/{variantId}":        {who: withCart, body: obj{"quantity": 2}},
	"DELETE /v1/cart/items/{variantId}":       {who: withCart},
	"POST /v1/cart:quote":                     {who: withCart, body: obj{}},
	"POST /v1/checkout":                       {who: withCart, body: checkoutBody("tok_ok")},
	"GET /v1/orders":                          {who: withCart},
	"GET /v1/orders/{id}":                     {who: "CPUAM"},
	"POST /v1/orders/{id}:cancel":             {who: "C", body: obj{}},
	"GET /v1/payments/{id}":                   {who: "CPUAM"},
	"GET /v1/me":                              {who: signedIn},
	"PATCH /v1/me":                            {who: signedIn, body: obj{"name": "Ana"}},
	"POST /v1/me/guest:merge":                 {who: signedIn, body: obj{"guestToken": "{guest}"}},
	"GET /v1/me/shops":                        {who: signedIn},
	"GET /v1/me/invitations":                  {who: signedIn},
	"POST /v1/me/invitations/{id}:accept":     {who: "C", body: obj{}},
	"POST /v1/me/invitations/{id}:decline":    {who: "C", body: obj{}},
	"GET /v1/me/addresses":                    {who: signedIn},
	"POST /v1/me/addresses":                   {who: signedIn, body: address},
	"GET /v1/me/addresses/{id}":               {who: "C"},
	"PATCH /v1/me/addresses/{id}":             {who: "C", body: obj{"label": "Home"}},
	"DELETE /v1/me/addresses/{id}":            {who: "C"},
	"POST /v1/me/addresses/{id}:setDefault":   {who: "C", body: obj{"shipping": true}},
	"GET /v1/me/notifications":                {who: signedIn},
	"GET /v1/me/notifications:stream":         {who: signedIn},
	"POST /v1/me/notifications:readAll":       {who: signedIn, body: obj{}},
	"POST /v1/me/notifications/{id}:read":     {who: "C", body: obj{}},
	"GET /v1/me/devices":                      {who: signedIn},
	"POST /v1/me/devices":                     {who: signedIn, body: obj{"kind": "fcm", "token": "{new}"}},
	"DELETE /v1/me/devices/{id}":              {who: "C"},
	"GET /v1/me/notification-preferences":     {who: signedIn},
	"PUT /v1/me/notification-preferences":     {who: signedIn, body: obj{}},
	"GET /v1/unsubscribe":                     {who: ""}, // the token decides
	"POST /v1/unsubscribe":                    {who: ""},
	"GET /v1/operator/notification-templates": {who: "PAM"},
	"PUT /v1/operator/notification-templates/{kind}/{channel}/{locale}": {
		who: "AM", body: obj{"subject": "Hello", "body": "Hello", "expectedVersion": 0},
	},
	"POST /v1/operator/notification-templates/{kind}/{channel}/{locale}:preview": {who: "PAM", body: obj{}},
	"GET /v1/operator/deliveries":          {who: "PAM"},
	"GET /v1/operator/suppressions":        {who: "PAM"},
	"POST /v1/operator/payments:reconcile": {who: "AM", body: obj{"since": "2026-11-30T00:00:00Z"}},
	"POST /v1/operator/suppressions": {
		who:  "AM",
		body: obj{"email": "{email}", "reason": "It came back."},
	},
	"POST /v1/operator/suppressions:lift":        {who: "AM", body: obj{"email": "{email}"}},
	"POST /v1/shops":                             {who: signedIn, body: obj{"name": "Another shop"}},
	"PATCH /v1/shops/{id}":                       {who: "STAM", body: obj{"city": "Fortaleza"}},
	"GET /v1/shops/{shopId}/members":             {who: "STPAM"},
	"POST /v1/shops/{shopId}/members":            {who: "SAM", body: obj{"userId": "{member}", "role": "staff"}},
	"DELETE /v1/shops/{shopId}/members/{userId}": {who: "SAM"},
	"GET /v1/shops/{shopId}/invitations":         {who: "SAM"},
	"POST /v1/shops/{shopId}/invitations":        {who: "SAM", body: obj{"email": "{email}", "role": "staff"}},
	"DELETE /v1/shops/{shopId}/invitations/{id}": {who: "SAM"},
	"GET /v1/shops/{shopId}/api-keys":            {who: "SAM"},
	"POST /v1/shops/{shopId}/api-keys": {
		who:  "S",
		body: obj{"name": "Key", "scopes": []string{"order.read"}},
	},
	"POST /v1/shops/{shopId}/api-keys/{id}:rotate": {who: "S", body: obj{}},
	"DELETE /v1/shops/{shopId}/api-keys/{id}":      {who: "SAM"},
	"GET /v1/shops/{shopId}/products":              {who: "STPAMKL"},
	"POST /v1/shops/{shopId}/products":             {who: "STAMK", body: productBody("New")},
	"GET /v1/shops/{shopId}/products:export":       {who: "STPAMKL"},
	"GET /v1/shops/{shopId}/orders":                {who: "STZPUAMK"},
	"GET /v1/shops/{shopId}/sales":                 {who: "STPAMK"},
	"PATCH /v1/products/{id}":                      {who: "STAMK", body: obj{"title": "Changed"}},
	"DELETE /v1/products/{id}":                     {who: "STAMK"},
	"POST /v1/products:import": {
		who:  signedIn + "KF",
		body: obj{"products": []obj{}},
	}, // each product is accepted or rejected
	"PATCH /v1/variants/{variantId}":                 {who: "STAMK", body: obj{"barcode": "4006381333931"}},
	"PUT /v1/variants/{variantId}/stock":             {who: "STAMK", body: obj{"onHand": 7}},
	"POST /v1/variants/{variantId}/stock:adjust":     {who: "STAMK", body: obj{"delta": 1, "reason": "counted"}},
	"GET /v1/variants/{variantId}/stock/adjustments": {who: "STPAMKL"},
	"GET /v1/products/{productId}/reviews":           {who: everybody},
	"POST /v1/products/{productId}/reviews":          {who: "C", body: obj{"rating": 5}},
	"GET /v1/reviews/{id}":                           {who: everybody},
	"GET /v1/me/reviews":                             {who: signedIn},
	"PATCH /v1/reviews/{id}":                         {who: "C", body: obj{"rating": 4}},
	"DELETE /v1/reviews/{id}":                        {who: "C"},
	"POST /v1/reviews/{id}:helpful":                  {who: signedIn, body: obj{}},
	"POST /v1/reviews/{id}:report":                   {who: signedIn, body: obj{"reason": "It is rude."}},
	"POST /v1/reviews/{id}:reply":                    {who: "STAMK", body: obj{"text": "Thank you!"}},
	"GET /v1/operator/reviews":                       {who: "AM"},
	"POST /v1/operator/reviews/{id}:moderate":        {who: "AM", body: obj{"decision": "publish"}},
	"POST /v1/shops/{shopId}/vouchers":               {who: "STAMK", body: voucherBody},
	"GET /v1/shops/{shopId}/vouchers":                {who: "STPAMK"},
	"GET /v1/vouchers/{id}":                          {who: "STPAMK"},
	"PATCH /v1/vouchers/{id}":                        {who: "STAMK", body: obj{"title": "Less"}},
	"POST /v1/vouchers/{id}:disable":                 {who: "STAMK", body: obj{}},
	"POST /v1/operator/vouchers":                     {who: "AM", body: voucherBody},
	"GET /v1/operator/vouchers":                      {who: "PAM"},
	"POST /v1/shops/{shopId}/webhooks":               {who: "STAMK", body: webhookBody},
	"GET /v1/shops/{shopId}/webhooks":                {who: "STPAMK"},
	"POST /v1/operator/webhooks":                     {who: "AM", body: webhookBody},
	"GET /v1/operator/webhooks":                      {who: "PAM"},
	"GET /v1/webhooks/{id}":                          {who: "STPAMK"},
	"PATCH /v1/webhooks/{id}":                        {who: "STAMK", body: obj{"events": []string{"evt.order.*"}}},
	"DELETE /v1/webhooks/{id}":                       {who: "STAMK"},
	"POST /v1/webhooks/{id}:rotateSecret":            {who: "STAMK", body: obj{}},
	"POST /v1/webhooks/{id}:test":                    {who: "STAMK", body: obj{}},
	"GET /v1/webhooks/{id}/deliveries":               {who: "STPAMK"},
	"POST /v1/webhook-deliveries/{id}:redeliver":     {who: "STAMK", body: obj{}},
	"GET /v1/shop-orders/{id}":                       {who: "STZPUAMK"},
	"POST /v1/shop-orders/{id}:ship":                 {who: "STAMK", body: obj{"carrier": "Correios"}},
	"POST /v1/shop-orders/{id}:deliver":              {who: "STAMK", body: obj{}},
	"POST /v1/shop-orders/{id}:cancel":               {who: "STAMK", body: obj{"reason": "sold out"}},
	"POST /v1/operator/categories":                   {who: "AM", body: obj{"name": "{new}"}},
	"GET /v1/operator/products:export":               {who: "PAM"},
	"GET /v1/operator/shops":                         {who: "PAM"},
	"POST /v1/operator/shops/{id}:setStatus":         {who: "AM", body: obj{"status": "active"}},
	"GET /v1/operator/users":                         {who: "PAM"},
	"GET /v1/operator/users/{id}":                    {who: "PAM"},
	"POST /v1/operator/users/{id}:erase":             {who: "M", body: obj{}},
	"POST /v1/operator/users/{id}:suspend":           {who: "AM", body: obj{"reason": "fraud"}},
	"POST /v1/operator/users/{id}:reinstate":         {who: "AM", body: obj{}},
	"POST /v1/operator/users/{id}/sessions:revoke":   {who: "AM", body: obj{}},
	"GET /v1/me/sessions":                            {who: signedIn},
	"DELETE /v1/me/sessions/{id}":                    {who: ""}, // they have access tokens, no sessions
	"POST /v1/me/sessions:revoke":                    {who: signedIn, body: obj{}},
	"POST /v1/operator/orders/{id}:eraseGuest":       {who: "M", body: obj{}},
	"POST /v1/operator/orders/{id}:cancel":           {who: "AM", body: obj{"reason": "fraud"}},
	"GET /v1/settings":                               {who: everybody},
	"GET /v1/operator/settings":                      {who: "PUAM"},
	"PUT /v1/operator/settings/{key}":                {who: "AM", body: obj{"value": nil}},
	"GET /v1/operator/settings/{key}/history":        {who: "PUAM"},
	"POST /v1/operator/settings/{key}:rollback":      {who: "AM", body: obj{"version": 0}},
	"GET /v1/me/settings":                            {who: signedIn},
	"PUT /v1/me/settings":                            {who: signedIn, body: obj{"theme": "dark"}},
	"GET /v1/me/flags":                               {who: everybody},
	"GET /v1/operator/approvals":                     {who: "AM"},
	"GET /v1/operator/audit":                         {who: "UM"},
	"GET /v1/operator/security/events":               {who: "UAM"},
	"POST /v1/operator/approvals/{id}:approve":       {who: ""}, // none waits; testSecondOperator has one
	"POST /v1/operator/approvals/{id}:reject":        {who: ""},
	"GET /v1/operator/flags":                         {who: "UAM"},
	"PUT /v1/operator/flags/{key}":                   {who: "AM", body: flagBody(true)},
	"DELETE /v1/operator/flags/{key}":                {who: "AM"},
	"POST /v1/operator/security/events/{id}:acknowledge": {
		who: "",
	}, // testSecurityEvents makes one
}

var voucherBody = obj{"code": "{new}", "title": "Matrix", "kind": "percent", "percent": "10"}

// webhookBody is a webhook whose URL does not answer.
var webhookBody = obj{"url": "http://127.0.0.1:1/", "events": []string{"*"}}

func productBody(title string) obj {
	return obj{
		"title": title,
		"variants": []obj{{
			"sku": "{new}", "price": obj{"currencyCode": "BRL", "amount": "10.00"}, "onHand": 5,
		}},
	}
}

// flagBody is a flag that everyone has if on.
func flagBody(on bool) obj {
	return obj{"enabled": on, "variants": obj{"on": true, "off": false}, "defaultVariant": "off", "rollout": []obj{
		{"variant": "on", "percent": 100},
	}}
}

// pathValues says what the parameter {id} or {key} of a path stands for. Other parameters are named by pathNames.
var (
	pathValues = []struct{ prefix, value string }{
		{"/v1/orders/", "order"},
		{"/v1/operator/orders/{id}:eraseGuest", "guestOrder"},
		{"/v1/operator/orders/", "order"},
		{"/v1/payments/", "payment"},
		{"/v1/shop-orders/", "shopOrder"},
		{"/v1/products/", "product"},
		{"/v1/reviews/", "review"},
		{"/v1/operator/reviews/", "review"},
		{"/v1/vouchers/", "voucher"},
		{"/v1/webhooks/", "webhook"},
		{"/v1/webhook-deliveries/", "delivery"},
		{"/v1/me/addresses/", "address"},
		{"/v1/me/invitations/", "invitation"},
		{"/v1/me/notifications/", "notification"},
		{"/v1/me/devices/", "device"},
		{"/v1/shops/{shopId}/invitations/", "pending"},
		{"/v1/shops/{shopId}/api-keys/", "key"},
		{"/v1/shops/", "shop"},
		{"/v1/operator/shops/", "shop"},
		{"/v1/operator/users/", "user"},
		{"/v1/operator/settings/", "setting"},
		{"/v1/operator/flags/", "flag"},
		{"/v1/operator/approvals/", "approval"},
		{"/v1/me/sessions/", "session"},
	}
	pathNames = map[string]string{
		"shopId": "shop", "shop": "shop", "variantId": "variant", "userId": "member", "handle": "productHandle",
		"countryCode": "country", "provider": "provider", "productId": "bought",
		"kind": "kind", "channel": "channel", "locale": "locale",
	}
)

// accessWorld has what the operations of the access matrix are about.
type accessWorld struct {
	s       *souk
	shop    string
	callers map[rune]*client
	emails  map[rune]string
	variant string // never sold out
	making  map[string]func() string
	// made are the things of the last calls. Calls that are refused leave them as they are.
	made map[string]string
}

func newAccessWorld(t *testing.T, s *souk) *accessWorld {
	w := &accessWorld{s: s, shop: handle("matrix"), callers: map[rune]*client{}, emails: map[rune]string{}}
	w.callers[nobody], w.callers[aGuest] = s.anonymous(), s.guest()
	w.callers[shopOwner] = s.seller(w.shop)
	otherShop := handle("matrix-other")
	w.callers[otherSeller] = s.seller(otherShop)
	for letter, role := range map[rune]string{
		aCustomer: "customer", otherCustomer: "customer", shopStaff: "seller", packer: "seller",
		aSupporter: "support", anAuditor: "auditor", anOperator: "operator", anAdmin: "admin",
	} {
		w.emails[letter] = email("matrix")
		w.callers[letter] = s.user(w.emails[letter], role)
	}
	w.join(w.callers[shopStaff], w.emails[shopStaff])
	w.join(w.callers[packer], w.emails[packer])
	w.callers[shopOwner].post("/v1/shops/"+w.shop+"/members", obj{
		"userId": w.userID(w.callers[packer]), "role": "staff", "permissions": []string{"order.read"},
	}).want(http.StatusOK)
	w.callers[aKey] = w.keyOf(w.callers[shopOwner], w.shop, permission.OfKey()...)
	w.callers[aNarrowKey] = w.keyOf(w.callers[shopOwner], w.shop, "product.read")
	w.callers[aForeignKey] = w.keyOf(w.callers[otherSeller], otherShop, permission.OfKey()...)
	w.variant = w.callers[shopOwner].sell(w.shop, "Matrix", "10.00", 100_000).Variants[0].ID
	w.making = map[string]func() string{
		"shop":          func() string { return w.shop },
		"variant":       func() string { return w.newProduct().Variants[0].ID },
		"product":       func() string { return w.newProduct().ID },
		"productHandle": func() string { return w.newProduct().Handle },
		"order":         func() string { return w.newOrder().ID },
		"guestOrder":    w.newGuestOrder,
		"payment":       func() string { return w.newOrder().Payment.ID },
		"shopOrder":     func() string { return w.newOrder().ShopOrders[0].ID },
		"address":       w.newAddress,
		"bought":        w.newPurchase,
		"review":        w.newReview,
		"voucher":       w.newVoucher,
		"webhook":       w.newWebhook,
		"delivery":      w.newDelivery,
		"key":           w.newKeyID,
		"approval":      func() string { return "apr_none" },
		"pending":       func() string { return w.invite(w.callers[shopOwner], w.shop, email("pending")) },
		"member":        w.newMember,
		"guest":         func() string { return s.guest().token },
		"user":          w.newUser,
		"session":       func() string { return "ses_none" },
		"email":         func() string { return email("invited") },
		"new":           func() string { return handle("new") },
		"country":       func() string { return "BR" },
		"provider":      func() string { return "sandbox" },
		"setting":       func() string { return "order.cash.guests" },
		"flag":          w.newFlag,
		"notification":  w.newNotification,
		"device": func() string {
			var d struct{ ID string }
			body := obj{"kind": "fcm", "token": handle("device")}
			w.callers[aCustomer].post("/v1/me/devices", body).want(http.StatusCreated).into(&d)
			return d.ID
		},
		"kind":    func() string { return "order_shipped" },
		"channel": func() string { return "email" },
		"locale":  func() string { return "vi" },
		"invitation": func() string { // each from another shop: the customer may be a member of each once
			shop := handle("matrix-inviting")
			return w.invite(s.seller(shop), shop, w.emails[aCustomer])
		},
	}
	return w
}

// fill replaces what stands in braces by what it is about.
func (w *accessWorld) fill(text string, names map[string]string) string {
	for name, making := range w.making {
		for _, parameter := range append([]string{name}, keysOf(names, name)...) {
			if strings.Contains(text, "{"+parameter+"}") {
				if w.made[name] == "" {
					w.made[name] = making()
				}
				text = strings.ReplaceAll(text, "{"+parameter+"}", w.made[name])
			}
		}
	}
	return text
}

// keysOf returns the keys that have a value.
func keysOf(m map[string]string, value string) []string {
	var keys []string
	for k, v := range m {
		if v == value {
			keys = append(keys, k)
		}
	}
	return keys
}

// call calls an operation with things of its own, and reports whether the caller may call it.
func (w *accessWorld) call(letter rune, operation string, body any) (allowed bool, a *answer) {
	w.s.t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	for _, v := range pathValues {
		if strings.HasPrefix(path, v.prefix) {
			path = strings.ReplaceAll(strings.ReplaceAll(path, "{id}", "{"+v.value+"}"), "{key}", "{"+v.value+"}")
			break
		}
	}
	c := w.callers[letter]
	path = w.fill(path, pathNames)
	if strings.Contains(operation, "/cart/items/") && strings.ContainsRune(withCart, letter) {
		c.add(path[strings.LastIndexByte(path, '/')+1:], 1).want(http.StatusOK)
	}
	var raw any
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(w.s.t, err)
		raw = w.fill(string(text), nil)
	}
	if strings.HasSuffix(path, ":stream") {
		path += "?maxSeconds=1" // it would not end
	}
	var header []string
	if method == http.MethodPost && path == "/v1/checkout" {
		header = []string{"Idempotency-Key", id.New(id.Event)}
	}
	a, err := c.do(method, path, raw, header...)
	require.NoError(w.s.t, err)
	refused := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	return !slices.Contains(refused, a.status), a
}

// TestAccessMatrix calls each operation of the API as each kind of caller.
func TestAccessMatrix(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../gen/openapi/souk.json")
	require.NoError(t, err)
	var api struct {
		Paths map[string]map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(raw, &api))
	noLimits := []string{
		"SOUK_GATEWAY_CALLER_RATE_PER_SECOND=0",
		"SOUK_GATEWAY_ADDRESS_RATE_PER_SECOND=0",
		"SOUK_SHOP_MAX_API_KEYS=1000",
	}
	s := start(t, "inprocess", noLimits)
	w := newAccessWorld(t, s)
	operations := map[string]bool{}
	for path, methods := range api.Paths {
		for method := range methods {
			operation := strings.ToUpper(method) + " " + path
			operations[operation] = true
			row, ok := accessMatrix[operation]
			if !ok {
				t.Errorf("%s: the access matrix has no row for it", operation)
				continue
			}
			w.made = map[string]string{}
			for _, letter := range everybody {
				allowed, a := w.call(letter, operation, row.body)
				if allowed != strings.ContainsRune(row.who, letter) {
					t.Errorf("%s as %c: %d %s", operation, letter, a.status, a.body)
				}
				if allowed {
					w.made = map[string]string{}
				}
				require.Less(t, a.status, http.StatusInternalServerError, "%s as %c: %s", operation, letter, a.body)
			}
		}
	}
	for operation := range accessMatrix {
		if !operations[operation] {
			t.Errorf("%s: the API has no such operation", operation)
		}
	}
	s.verify()
}
