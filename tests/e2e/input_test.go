package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
)

// TestBadInputIsRefused sends what a careless or hostile client may send.
func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil, "--demo")
	shop := handle("input")
	seller := s.seller(shop)
	p := seller.sell(shop, "Input", "10.00", 5)
	v := p.Variants[0].ID
	u := s.user(email("input"), "customer")
	u.add(v, 1).want(http.StatusOK)
	key := func() string { return id.New(id.Event) }
	variant := func(more obj) obj {
		out := obj{"sku": "S", "price": obj{"currencyCode": "BRL", "amount": "1.00"}}
		for k, x := range more {
			out[k] = x
		}
		return obj{"title": "x", "variants": []obj{out}}
	}
	checkout := func(change func(obj)) obj {
		b := obj{"shippingAddress": obj{}, "payment": obj{"method": "card", "token": "tok_ok"}}
		for k, x := range address {
			b["shippingAddress"].(obj)[k] = x
		}
		change(b)
		return b
	}

	t.Run("fields are named by their path", func(t *testing.T) {
		for name, tc := range map[string]struct {
			by           *client
			method, path string
			body         any
			field        string
		}{
			"quantity of zero": {
				u, http.MethodPost, "/v1/cart/items", obj{"variantId": v, "quantity": 0}, "quantity",
			},
			"negative quantity": {
				u, http.MethodPost, "/v1/cart/items", obj{"variantId": v, "quantity": -1}, "quantity",
			},
			"absurd quantity": {
				u, http.MethodPost, "/v1/cart/items", obj{"variantId": v, "quantity": 1_000_000_000}, "quantity",
			},
			"quantity that is a word": {
				u, http.MethodPost, "/v1/cart/items", obj{"variantId": v, "quantity": "many"}, "quantity",
			},
			"no variant": {u, http.MethodPost, "/v1/cart/items", obj{"quantity": 1}, "variantId"},
			"unknown field": {
				u, http.MethodPost, "/v1/cart/items", obj{"variantId": v, "quantity": 1, "price": 1}, "price",
			},
			"no address": {
				u, http.MethodPost, "/v1/checkout", checkout(func(b obj) { delete(b, "shippingAddress") }),
				"shippingAddress",
			},
			"no town": {
				u, http.MethodPost, "/v1/checkout",
				checkout(func(b obj) { delete(b["shippingAddress"].(obj), "city") }), "shippingAddress.city",
			},
			"a country that is a word": {
				u, http.MethodPost, "/v1/checkout",
				checkout(func(b obj) { b["shippingAddress"].(obj)["countryCode"] = "Brazil" }),
				"shippingAddress.countryCode",
			},
			"a line break in a name": {
				u, http.MethodPost, "/v1/checkout",
				checkout(func(b obj) { b["shippingAddress"].(obj)["name"] = "A\r\nBcc: x@example.com" }),
				"shippingAddress.name",
			},
			"a phone that is a word": {
				u, http.MethodPost, "/v1/checkout",
				checkout(func(b obj) { b["shippingAddress"].(obj)["phone"] = "call me" }), "shippingAddress.phone",
			},
			"a logo that is a script": {
				u, http.MethodPost, "/v1/shops", obj{"name": "Logo", "logoUrl": "javascript:alert(1)"}, "logoUrl",
			},
			"unknown payment method": {
				u, http.MethodPost, "/v1/checkout", checkout(func(b obj) { b["payment"].(obj)["method"] = "gold" }),
				"payment.method",
			},
			"an invalid e-mail": {
				u, http.MethodPost, "/v1/checkout", checkout(func(b obj) { b["email"] = "nobody" }), "email",
			},
			"negative price": {
				seller, http.MethodPost, "/v1/shops/" + shop + "/products",
				variant(obj{"price": obj{"currencyCode": "BRL", "amount": "-1.00"}}), "variants[0].price",
			},
			"price of zero": {
				seller, http.MethodPost, "/v1/shops/" + shop + "/products",
				variant(obj{"price": obj{"currencyCode": "BRL", "amount": "0.00"}}), "variants[0].price",
			},
			"too many digits": {
				seller, http.MethodPost, "/v1/shops/" + shop + "/products",
				variant(obj{"price": obj{"currencyCode": "BRL", "amount": "1.001"}}), "variants[0].price",
			},
			"unknown currency": {
				seller, http.MethodPost, "/v1/shops/" + shop + "/products",
				variant(obj{"price": obj{"currencyCode": "XXQ", "amount": "1.00"}}), "variants[0].price",
			},
			"a price that is not finite": {
				seller, http.MethodPost, "/v1/shops/" + shop + "/products",
				variant(obj{"price": obj{"currencyCode": "BRL", "amount": "NaN"}}), "variants[0].price",
			},
			"no SKU": {
				seller, http.MethodPost, "/v1/shops/" + shop + "/products", variant(obj{"sku": ""}),
				"variants[0].sku",
			},
			"negative stock": {
				seller, http.MethodPut, "/v1/variants/" + v + "/stock", obj{"onHand": -1}, "onHand",
			},
			"no stock":                   {seller, http.MethodPut, "/v1/variants/" + v + "/stock", obj{}, "onHand"},
			"page size that is a word":   {u, http.MethodGet, "/v1/orders?pageSize=all", nil, "pageSize"},
			"negative page size":         {u, http.MethodGet, "/v1/products?pageSize=-1", nil, "pageSize"},
			"made-up page token":         {u, http.MethodGet, "/v1/products?pageToken=made-up", nil, "pageToken"},
			"made-up page token, orders": {u, http.MethodGet, "/v1/orders?pageToken=bWFkZS11cA", nil, "pageToken"},
			"unknown sort order":         {u, http.MethodGet, "/v1/products?sort=random", nil, "sort"},
			"min price that is a word": {
				u, http.MethodGet, "/v1/products?minPrice=cheap&currencyCode=BRL", nil, "minPrice",
			},
		} {
			t.Run(name, func(t *testing.T) {
				c := *tc.by
				c.s = s.in(t)
				fields := c.send(tc.method, tc.path, tc.body, "Idempotency-Key", key()).
					problem(http.StatusBadRequest, "invalid_argument")
				require.NotEmpty(t, fields)
				require.True(t, strings.HasPrefix(fields[0], tc.field), "%v", fields)
			})
		}
	})
	t.Run("no Idempotency-Key", func(t *testing.T) {
		fields := u.post("/v1/checkout", checkoutBody("tok_ok")).problem(http.StatusBadRequest, "invalid_argument")
		require.Equal(t, []string{"Idempotency-Key"}, fields)
	})
	t.Run("unknown IDs", func(t *testing.T) {
		for _, path := range []string{
			"/v1/products/prd_00000000000000000000000000000000", "/v1/products/nothing", "/v1/products/%2e%2e",
			"/v1/orders/ord_1", "/v1/shops/no-such-shop", "/v1/payments/pay_1", "/v1/nothing",
		} {
			u.get(path).problem(http.StatusNotFound, "not_found")
		}
		u.add("var_00000000000000000000000000000000", 1).problem(http.StatusNotFound, "not_found")
	})
	t.Run("malformed bodies", func(t *testing.T) {
		for _, body := range []string{
			"{", `{"variantId":`, "[]", "null null", "\xff\xfe", `{"variantId":"` + v + `","quantity":1}}`,
			`{"quantity":1e400}`,
		} {
			a := u.send(http.MethodPost, "/v1/cart/items", body)
			require.Equal(t, http.StatusBadRequest, a.status, "%q: %s", body, a.body)
		}
		seller.send(http.MethodPost, "/v1/shops/"+shop+"/products", "{\"title\":\"\xff\"}").
			problem(http.StatusBadRequest, "invalid_argument")
		u.send(http.MethodPost, "/v1/cart/items", `{"variantId":"`+strings.Repeat("x", 1<<20)+`"}`).
			problem(http.StatusRequestEntityTooLarge, "too_large")
	})
	t.Run("huge page sizes are cut", func(t *testing.T) {
		var page productsJSON
		u.get("/v1/products?pageSize=1000000").want(http.StatusOK).into(&page)
		require.LessOrEqual(t, len(page.Products), 100)
	})
	t.Run("SQL and HTML are text", func(t *testing.T) {
		nasty := `<script>alert(1)</script>'; drop table product; -- "\ %_$1 {{.}}`
		var made, back productJSON
		seller.post("/v1/shops/"+shop+"/products", obj{
			"title":       nasty,
			"description": nasty,
			"tags":        []string{nasty},
			"variants": []obj{
				{
					"sku":     nasty,
					"options": obj{nasty: nasty},
					"price":   obj{"currencyCode": "BRL", "amount": "1.00"},
					"onHand":  3,
				},
			},
		}).want(http.StatusCreated).into(&made)
		a := s.anonymous().get("/v1/products/" + made.ID).want(http.StatusOK).into(&back)
		require.Equal(t, nasty, back.Title)
		// A description is HTML, and shown without what could run.
		require.Equal(t, `&#39;; drop table product; -- &#34;\ %_$1 {{.}}`, back.Description)
		require.Equal(t, "application/json", a.header.Get("Content-Type"))
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		for _, q := range []string{
			"'", `"`, ";--", "%", "_", "\\", "a' or '1'='1", "!!!", "& | !", "( )", "🙂", strings.Repeat("x", 200),
		} {
			s.anonymous().send(http.MethodGet, "/v1/products?query="+escape(q), nil).want(http.StatusOK)
		}
		u.add(made.Variants[0].ID, 1).want(http.StatusOK)
		body := checkoutBody("tok_ok")
		nastyAddress := obj{}
		for k, x := range address {
			nastyAddress[k] = x
		}
		nastyAddress["name"] = nasty
		body["shippingAddress"] = nastyAddress
		order := u.post("/v1/checkout", body, "Idempotency-Key", key()).order()
		require.Equal(t, nasty, order.ShippingAddress["name"])
	})
	t.Run("card numbers are refused and never logged", func(t *testing.T) {
		const card = "4111111111111111"
		body := checkoutBody(card)
		u.post("/v1/checkout", body, "Idempotency-Key", key()).
			problem(http.StatusUnprocessableEntity, "card_number_refused")
		u.send(http.MethodPatch, "/v1/me", obj{"name": "Ana 4111,1111,1111,1111"}).
			problem(http.StatusUnprocessableEntity, "card_number_refused")
		u.post("/v1/orders/ord_1:cancel", obj{"reason": "charge 4111 1111 1111 1111"}).
			problem(http.StatusUnprocessableEntity, "card_number_refused")
		u.get("/v1/products/"+card).problem(http.StatusNotFound, "not_found")
		require.Equal(t, http.StatusOK, u.get("/v1/products?query="+card).status, "a barcode may look like one")
		logs, err := os.ReadFile(filepath.Join(s.dir, "souk.log"))
		require.NoError(t, err)
		for _, secret := range []string{card, "4111 1111", u.token, "Rua das Flores", "tok_ok"} {
			require.NotContains(t, string(logs), secret)
		}
	})
	t.Run("tokens", func(t *testing.T) {
		part := func(v any) string {
			raw, err := json.Marshal(v)
			require.NoError(t, err)
			return base64.RawURLEncoding.EncodeToString(raw)
		}
		claims := strings.Split(u.token, ".")[1]
		none := part(obj{"alg": "none", "typ": "JWT"}) + "." + claims + "."
		for name, token := range map[string]string{
			"alg none": none, "changed": u.token[:len(u.token)-4] + "AAAA", "not a token": "abc", "foreign": part(obj{
				"alg": "RS256", "kid": "x",
			}) + "." + part(obj{"iss": "https://evil.example", "sub": "1", "aud": "souk", "exp": 4102444800}) + ".AAAA",
		} {
			c := &client{s: s, token: token}
			a := c.get("/v1/me")
			require.Equal(t, http.StatusUnauthorized, a.status, "%s: %s", name, a.body)
		}
		s.anonymous().get("/v1/me").problem(http.StatusUnauthorized, "unauthenticated")
		s.anonymous().
			post("/v1/checkout", checkoutBody("tok_ok"), "Idempotency-Key", key()).
			problem(http.StatusUnauthorized, "unauthenticated")
	})
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}
