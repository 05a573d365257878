package tests

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/page"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

// newID returns a product ID that no other test uses: the tests share Redis.
func newID() string { return "prd_" + rand.Text() }

const address = `"shippingAddress":{"name":"Ann","line1":"1 Way","city":"Rio",` +
	`"postalCode":"20000-000","countryCode":"BR"}`

const checkoutBody = `{` + address + `,"payment":{"method":"card","token":"tok_ok"}}`

func TestRoutesReachTheirMethod(t *testing.T) {
	t.Parallel()
	g := setup(t)
	res := g.send(http.MethodPost, "/v1/cart/items", `{"variantId":"var_1","quantity":"2"}`, "Authorization", asUser)
	require.Equal(t, http.StatusOK, res.StatusCode, res.body)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	require.Equal(t, "usr_1", g.carts.owner.ID)
	require.EqualValues(t, 2, g.carts.added.GetQuantity())

	res = g.send(http.MethodGet, "/v1/products?query=lamp&pageSize=5&inStock=true&sort=rating", "")
	require.Equal(t, http.StatusOK, res.StatusCode, res.body)
	require.Equal(t, "lamp", g.products.search.GetQuery())
	require.EqualValues(t, 5, g.products.search.GetPageSize())

	res = g.send(http.MethodPost, "/v1/shops/shp_1/products",
		`{"title":"A lamp","variants":[{"sku":"A","price":{"currencyCode":"BRL","amount":"1.00"}}]}`, "Authorization",
		asUser)
	require.Equal(t, http.StatusCreated, res.StatusCode, res.body)
	require.Equal(t, "/v1/products/prd_new", res.Header.Get("Location"))
	require.Equal(t, "shp_1", g.products.made.GetShopId())

	res = g.send(http.MethodPost, "/v1/guest", "{}")
	require.Equal(t, http.StatusCreated, res.StatusCode, res.body)
	res = g.send(http.MethodPost, "/v1/guest", "")
	require.Equal(t, http.StatusCreated, res.StatusCode, "no body is an empty message")
	require.Equal(t, "guest-gst_9", res.json(t)["token"])
}

func TestEveryErrorCodeIsAProblem(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for code, status := range map[errs.Code]int{
		errs.Invalid: 400, errs.Unauthenticated: 401, errs.PaymentDeclined: 402, errs.Forbidden: 403,
		errs.NotFound:           404,
		errs.SignInAgain:        401,
		errs.AccountSuspended:   403,
		errs.LockedOut:          429,
		errs.ApprovalRequired:   403,
		errs.PreconditionFailed: 412,
		errs.Conflict:           409, errs.AlreadyExists: 409, errs.OutOfStock: 409,
		errs.IdempotencyInFlight: 409, errs.TooLarge: 413,
		errs.CheckoutInProgress: 409, errs.PriceChanged: 409,
		errs.IdempotencyMismatch: 422, errs.VoucherInvalid: 422, errs.CartEmpty: 422, errs.CardNumberRefused: 422,
		errs.Unprocessable: 422,
		errs.RateLimited:   429, errs.Internal: 500, errs.Unimplemented: 501, errs.Overloaded: 503, errs.Unavailable: 503,
	} {
		g.products.answerWith(
			func(context.Context, string) (*productv1.Product, error) { return nil, errs.New(code, "because <b>") },
		)
		res := g.send(http.MethodGet, "/v1/products/"+newID(), "")
		p := res.problem(t, status, code)
		require.Equal(t, "because <b>", p["detail"])
		switch status {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			require.Equal(t, "1", res.Header.Get("Retry-After"), code)
		case http.StatusUnauthorized:
			require.NotEmpty(t, res.Header.Get("WWW-Authenticate"))
		}
	}
	detailed := errs.New(errs.PriceChanged, "it costs more")
	detailed.Detail = &orderv1.Quote{Total: &moneyv1.Money{CurrencyCode: "BRL", Amount: "1.00"}}
	g.products.answerWith(func(context.Context, string) (*productv1.Product, error) { return nil, detailed })
	p := g.send(http.MethodGet, "/v1/products/"+newID(), "").problem(t, http.StatusConflict, errs.PriceChanged)
	require.Equal(t, map[string]any{"currencyCode": "BRL", "amount": "1.00"}, p["quote"].(map[string]any)["total"])
	g.products.answerWith(func(context.Context, string) (*productv1.Product, error) { panic("a secret") })
	res := g.send(http.MethodGet, "/v1/products/"+newID(), "")
	res.problem(t, http.StatusInternalServerError, errs.Internal)
	require.NotContains(t, res.body, "secret")
}

func TestInvalidBodiesNameTheField(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for name, tc := range map[string]struct{ path, body, field string }{
		"unknown field": {"/v1/cart/items", `{"variantId":"v","quantity":1,"colour":"red"}`, "colour"},
		"unknown nested field": {
			"/v1/checkout", `{` + address + `,"payment":{"method":"card","pin":1}}`, "payment.pin",
		},
		"wrong type":             {"/v1/cart/items", `{"variantId":"v","quantity":"many"}`, "quantity"},
		"wrong nested type":      {"/v1/checkout", `{` + address + `,"payment":{"method":7}}`, "payment.method"},
		"not one of the choices": {"/v1/checkout", `{` + address + `,"payment":{"method":"gold"}}`, "payment.method"},
		"nested pattern": {"/v1/checkout", `{"shippingAddress":{"name":"A","line1":"1","city":"R","postalCode":"1",` +
			`"countryCode":"Brazil"},"payment":{"method":"cod"}}`, "shippingAddress.countryCode"},
		"missing":         {"/v1/cart/items", `{"quantity":1}`, "variantId"},
		"missing message": {"/v1/checkout", `{` + address + `}`, "payment"},
		"zero":            {"/v1/cart/items", `{"variantId":"v","quantity":0}`, "quantity"},
		"negative":        {"/v1/cart/items", `{"variantId":"v","quantity":-1}`, "quantity"},
		"absurd":          {"/v1/cart/items", `{"variantId":"v","quantity":"9223372036854775807"}`, "quantity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := g.send(http.MethodPost, tc.path, tc.body, "Authorization", asUser, "Idempotency-Key", rand.Text()).
				problem(t, http.StatusBadRequest, errs.Invalid)
			require.Equal(t, tc.field, field(t, p))
		})
	}
	for name, body := range map[string]string{
		"malformed": `{"variantId":`, "an array": `[]`, "two values": `{} {}`,
		"invalid UTF-8": "{\"variantId\":\"\xff\xfe\",\"quantity\":1}",
		"a string":      `"x"`, "deep": strings.Repeat(`{"a":`, 5000), "NUL": "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g.send(http.MethodPost, "/v1/cart/items", body, "Authorization", asUser).
				problem(t, http.StatusBadRequest, errs.Invalid)
		})
	}
}

// TestAccessIsCheckedBeforeTheBodyIsRead: a body may be large and slow.
func TestAccessIsCheckedBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.send(http.MethodPost, "/v1/products:import", `{"products":`).
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	g.send(http.MethodPost, "/v1/products:import", `{"products":`, "Authorization", asGuest).
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	g.send(http.MethodPost, "/v1/operator/categories", `{"name":`, "Authorization", asUser).
		problem(t, http.StatusForbidden, errs.Forbidden)
	g.send(http.MethodPost, "/v1/products:import", `{"products":`, "Authorization", asUser).
		problem(t, http.StatusBadRequest, errs.Invalid)
}

func TestUnknownParametersAreRefused(t *testing.T) {
	t.Parallel()
	g := setup(t)
	long := strings.Repeat("é", 100)
	for _, tc := range []struct{ method, target, field, message string }{
		{http.MethodGet, "/v1/products?pagesize=5", "pagesize", "is not a parameter here"},
		{http.MethodGet, "/v1/products?query=lamp&utm=1", "utm", "is not a parameter here"},
		{http.MethodGet, "/v1/products?query.x=lamp", "query.x", "is not a parameter here"},
		{http.MethodGet, "/v1/products?" + long, strings.Repeat("é", 32) + "…", "is not a parameter here"},
		{http.MethodGet, "/v1/products/prd_1?id=prd_2", "id", "is not a parameter here"},
		{http.MethodDelete, "/v1/cart/items/var_1?variant_id=var_2", "variant_id", "is not a parameter here"},
		{http.MethodPost, "/v1/cart/items?quantity=2", "quantity", "is not a parameter here"},
		{http.MethodGet, "/v1/products?pageSize=5&pageSize=6", "pageSize", "is given twice"},
		{http.MethodGet, "/v1/products?pageSize=5&page_size=5", "pageSize", "is given twice"},
	} {
		p := g.send(tc.method, tc.target, "", "Authorization", asUser).problem(t, http.StatusBadRequest, errs.Invalid)
		require.Equal(t, tc.field, field(t, p), tc.target)
		require.Equal(t, tc.message, p["errors"].([]any)[0].(map[string]any)["message"], tc.target)
	}
	g.send(http.MethodGet, "/v1/products?a;b", "").problem(t, http.StatusBadRequest, errs.Invalid)
	require.Nil(t, g.products.search)
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, "/v1/products?page_size=5&in_stock=true", "").StatusCode)
	require.Equal(t, http.StatusOK, g.send(http.MethodHead, "/v1/products?pageSize=5", "").StatusCode)
	require.EqualValues(t, 5, g.products.search.GetPageSize())
}

func TestInvalidQueryNamesTheField(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for query, want := range map[string]string{
		"pageSize=abc": "pageSize", "pageSize=-1": "pageSize", "pageSize=99999999999": "pageSize",
		"inStock=perhaps":  "inStock",
		"sort=upside_down": "sort", "minPrice=cheap": "minPrice", "currencyCode=real": "currencyCode",
		"page_size=abc": "pageSize",
	} {
		p := g.send(http.MethodGet, "/v1/products?"+query, "").problem(t, http.StatusBadRequest, errs.Invalid)
		require.Equal(t, want, field(t, p), query)
	}
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, "/v1/products?pageSize=1000000", "").StatusCode,
		"coerced by the service")
	g.send(http.MethodGet, "/v1/products?query=%zz", "").problem(t, http.StatusBadRequest, errs.Invalid)
	g.send(http.MethodGet, "/v1/products?query=%ff%fe", "").problem(t, http.StatusBadRequest, errs.Invalid)
}

// TestNULIsTheCallersMistake: PostgreSQL cannot store it, wherever it stands in a request.
func TestNULIsTheCallersMistake(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for _, path := range []string{
		"/v1/products/a%00", "/v1/products/%00?query=x", "/v1/shops/a%00", "/v1/nothing%00", "/docs/%00", "/dev/%00",
		"/v1/webhooks/payments/%00", "/v1/products?query=a%00b", "/v1/products?a%00=b", "/auth/login?returnTo=/%00",
		"/auth/callback?code=%00&state=x", "/v1/orders?pageToken=%00",
	} {
		g.send(http.MethodGet, path, "").problem(t, http.StatusBadRequest, errs.Invalid)
	}
	p := g.send(http.MethodGet, "/v1/products?query=a%00b", "").problem(t, http.StatusBadRequest, errs.Invalid)
	require.Equal(t, "query", field(t, p))
	g.send(http.MethodDelete, "/v1/cart/items/var_%00", "", "Authorization", asUser).
		problem(t, http.StatusBadRequest, errs.Invalid)
	p = g.send(http.MethodPost, "/v1/cart/items", `{"variantId":"var_\u0000","quantity":1}`, "Authorization", asUser).
		problem(t, http.StatusBadRequest, errs.Invalid)
	require.Equal(t, "variantId", field(t, p))
	require.Nil(t, g.carts.added)
}

// TestForgedPageTokensAreRefused: the token's form is known, so anybody can make one.
func TestForgedPageTokensAreRefused(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.products.next = page.Encode(map[string]string{"id": "prd_1"}, "a list")
	search := func(token string) answer {
		return g.send(http.MethodGet, "/v1/products?pageToken="+url.QueryEscape(token), "", "Authorization", asUser)
	}
	next, _ := search("").json(t)["nextPageToken"].(string)
	require.NotEqual(t, g.products.next, next)
	require.Equal(t, http.StatusOK, search(next).StatusCode)
	require.Equal(t, g.products.next, g.products.search.GetPageToken())
	for _, forged := range []string{
		g.products.next, page.Encode(map[string]string{"id": "\x00"}, "a list"), next[:len(next)-1] + "A", "made-up",
	} {
		p := search(forged).problem(t, http.StatusBadRequest, errs.Invalid)
		require.Equal(t, "pageToken", field(t, p))
	}
}

func TestRootShowsAPageWithLinks(t *testing.T) {
	t.Parallel()
	g := setup(t)
	res := g.send(http.MethodGet, "/", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	require.Contains(t, res.body, `href="/docs"`)
	g.send(http.MethodPost, "/", "").problem(t, http.StatusMethodNotAllowed, "method_not_allowed")
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for _, path := range []string{
		"/v1", "/v1/nothing", "/v1/products/a/b", "/v1/products/a%2Fb", "//v1/products", "/v1//products",
		"/v1/./products", "/v1/x/../products", "/v1/products/", "/favicon.ico", "/dev/mail", "/docs/secret.js",
		"/auth",
	} {
		res := g.send(http.MethodGet, path, "")
		require.Equal(t, http.StatusNotFound, res.StatusCode, path)
		require.NotContains(t, res.Header.Get("Content-Type"), "html", path)
	}
	for _, tc := range []struct{ method, path, allow string }{
		{http.MethodDelete, "/v1/products", "GET, HEAD"},
		{http.MethodPut, "/v1/checkout", "POST"},
		{http.MethodGet, "/v1/checkout", "POST"},
		{http.MethodPost, "/v1/products/prd_1", "DELETE, GET, HEAD, PATCH"},
		{http.MethodGet, "/auth/logout", "POST"},
		{http.MethodPost, "/docs", "GET, HEAD"},
		{http.MethodGet, "/v1/webhooks/payments/sandbox", "POST"},
		{http.MethodTrace, "/v1/products", "GET, HEAD"},
		{"BREW", "/v1/cart", "DELETE, GET, HEAD"},
	} {
		res := g.send(tc.method, tc.path, "")
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, "%+v", tc)
		require.Equal(t, tc.allow, res.Header.Get("Allow"), "%+v", tc)
		res.problem(t, http.StatusMethodNotAllowed, "method_not_allowed")
	}
	long := g.send(http.MethodGet, "/v1/products?query="+strings.Repeat("x", 20_000), "")
	require.Equal(t, "query", field(t, long.problem(t, http.StatusBadRequest, errs.Invalid)))
	require.Less(t, len(long.body), 1000, "the request is not echoed")
	require.Equal(
		t,
		"id",
		field(
			t,
			g.send(http.MethodGet, "/v1/products/"+strings.Repeat("x", 9000), "").
				problem(t, http.StatusBadRequest, errs.Invalid),
		),
	)
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	t.Parallel()
	g := setup(t)
	id := newID()
	for _, path := range []string{
		"/v1/products/" + id, "/v1/products/" + id, "/docs", "/openapi.json", "/health/live",
	} {
		head := g.send(http.MethodHead, path, "", "Accept-Encoding", "identity")
		get := g.send(http.MethodGet, path, "", "Accept-Encoding", "identity")
		require.Equal(t, http.StatusOK, head.StatusCode, path)
		require.Empty(t, head.body)
		require.NotEmpty(t, get.body)
		require.Equal(t, get.Header.Get("ETag"), head.Header.Get("ETag"))
		require.Equal(t, get.Header.Get("Content-Type"), head.Header.Get("Content-Type"))
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	t.Parallel()
	g := setup(t)
	big := `{"title":"` + strings.Repeat("x", 1<<20) + `"}`
	g.send(http.MethodPost, "/v1/shops/shp_1/products", big, "Authorization", asUser).
		problem(t, http.StatusRequestEntityTooLarge, errs.TooLarge)
	require.Nil(t, g.products.made)
}

func TestCardNumbersAreRefusedAndNotLogged(t *testing.T) {
	t.Parallel()
	g := setup(t)
	const card = "4111111111111111"
	checkout := func(old, changed, key string) answer {
		body := strings.Replace(checkoutBody, old, changed, 1)
		return g.send(http.MethodPost, "/v1/checkout", body, "Authorization", asUser, "Idempotency-Key", key)
	}
	for _, spelling := range []string{card, "4111,1111,1111,1111", `\u0034111\u200b1111 1111\u00a01111`} {
		res := checkout("tok_ok", spelling, card)
		p := res.problem(t, http.StatusUnprocessableEntity, errs.CardNumberRefused)
		require.Equal(t, "payment.token", field(t, p))
		require.NotContains(t, fmt.Sprint(p["detail"], p["errors"]), "1111")
	}
	res := checkout(`"tok_ok"`, card, rand.Text())
	p := res.problem(t, http.StatusBadRequest, errs.Invalid)
	require.NotContains(t, fmt.Sprint(p["detail"], p["errors"]), "1111")
	require.Zero(t, g.orders.count())

	res = checkout("", "", card)
	require.Equal(
		t,
		http.StatusCreated,
		res.StatusCode,
		"a key is not a card, and nothing is kept of one: %s",
		res.body,
	)
	res = g.send(http.MethodGet, "/v1/products?query=4111+1111-1111+1111", "")
	require.Equal(t, http.StatusOK, res.StatusCode, "a search is for barcodes, too: %s", res.body)
	res = g.send(http.MethodGet, "/v1/products/"+card, "")
	require.Equal(t, http.StatusOK, res.StatusCode, "nor is an ID: %s", res.body)
	res = g.send(http.MethodGet, "/v1/categories", "", "X-Request-Id", card)
	require.NotEqual(t, card, res.Header.Get("X-Request-Id"))
	g.Stop()
	require.Contains(t, g.Logs(), "/v1/categories")
	require.NotContains(t, g.Logs(), "11111111") // shorter runs occur in identifiers
	require.NotContains(t, g.Logs(), "1111-1111")
	require.NotContains(t, g.Logs(), "tok_ok")
}

func TestMarkupIsReturnedAsText(t *testing.T) {
	t.Parallel()
	g := setup(t)
	const nasty = `<script>alert(1)</script>'; drop table product; -- \"é 🛒`
	res := g.send(http.MethodPost, "/v1/shops/shp_1/products",
		`{"title":"`+nasty+`","variants":[{"sku":"A","price":{"currencyCode":"BRL","amount":"1.00"}}]}`,
		"Authorization", asUser)
	require.Equal(t, http.StatusCreated, res.StatusCode, res.body)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, strings.ReplaceAll(nasty, `\"`, `"`), res.json(t)["title"])
}

func TestAnswersRunNoScript(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for _, path := range []string{"/v1/products", "/", "/openapi.json", "/v1/absent", "/v1/me"} {
		res := g.send(http.MethodGet, path, "")
		require.Equal(t, "default-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
			res.Header.Get("Content-Security-Policy"), path)
	}
}

func TestInvalidBearerIs401EvenForCachedAnswers(t *testing.T) {
	t.Parallel()
	g := setup(t)
	path := "/v1/products/" + newID()
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, path, "").StatusCode)
	for _, bad := range []string{"Bearer nonsense", "Bearer", "Basic dTpw", "Bearer eyJhbGciOiJub25lIn0.e30."} {
		g.send(http.MethodGet, path, "", "Authorization", bad).problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	}
	g.send(http.MethodGet, "/v1/cart", "").problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	g.send(http.MethodGet, "/v1/cart", "", "Cookie", "souk_session=dead").
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, "/v1/cart", "", "Cookie", "souk_session=live").StatusCode)
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, path, "", "Cookie", "souk_session=dead").StatusCode)
	g.send(http.MethodGet, "/v1/orders", "", "Authorization", asGuest).
		problem(t, http.StatusNotImplemented, errs.Unimplemented)
}

// TestServiceThatIsDownOrSlowIsUnavailable: a client reacts the same way to both.
func TestServiceThatIsDownOrSlowIsUnavailable(t *testing.T) {
	t.Parallel()
	g := setup(t, config("timeout", "500ms"))
	g.products.answerWith(func(ctx context.Context, _ string) (*productv1.Product, error) {
		waittest.Receive(t, ctx.Done())
		return nil, ctx.Err()
	})
	unavailable := func(g *gateway, path string, header ...string) {
		t.Helper()
		res := g.send(http.MethodGet, path, "", header...)
		res.problem(t, http.StatusServiceUnavailable, errs.Unavailable)
		require.Equal(t, "1", res.Header.Get("Retry-After"))
	}
	unavailable(g, "/v1/products/"+newID()) // the gateway's timeout
	g.products.answerWith(func(context.Context, string) (*productv1.Product, error) {
		return nil, errs.New(errs.Timeout, "the database did not answer in time")
	})
	unavailable(g, "/v1/products/"+newID()) // the service's timeout
	g = setup(t, down("product"), down("auth"))
	unavailable(g, "/v1/products/"+newID())
	unavailable(g, "/v1/cart", "Authorization", asUser)
}

func TestTraceOfTheCallerIsJoined(t *testing.T) {
	t.Parallel()
	g := setup(t)
	const id = "0af7651916cd43dd8448eb211c80319c"
	for _, path := range []string{"/v1/cart", "/v1/nothing", "/v1/products/%FF"} {
		res := g.send(http.MethodGet, path, "", "Traceparent", "00-"+id+"-b7ad6b7169203331-01", "X-Request-Id",
			"my-request-1")
		require.Equal(t, id, res.json(t)["traceId"], path)
		require.Equal(t, "my-request-1", res.Header.Get("X-Request-Id"))
	}
	require.NotEqual(t, id, g.send(http.MethodGet, "/v1/cart", "", "Traceparent", "nonsense").json(t)["traceId"])
	g.Stop()
	require.Contains(t, g.Logs(), id)
}

// twoAtOnce is a rate limit.
var twoAtOnce = map[string]any{"per_second": 1, "burst": 2}

// TestRefusalsOfOtherOriginsAreCounted: the rate limit also bounds requests that are refused for their
// origin.
func TestRefusalsOfOtherOriginsAreCounted(t *testing.T) {
	t.Parallel()
	for name, cookie := range map[string]string{"of an address": "", "of a caller": "souk_session=live"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := "address_rate"
			if cookie != "" {
				limit = "caller_rate"
			}
			g := setup(t, moduletest.Redis(redistest.Private(t).Config()), config(limit, twoAtOnce))
			codes := map[int]int{}
			for range 5 {
				res := g.send(http.MethodPost, "/v1/cart/items", `{}`, "Origin", "https://evil.test",
					"Sec-Fetch-Site", "cross-site", "Cookie", cookie)
				codes[res.StatusCode]++
			}
			require.GreaterOrEqual(t, codes[http.StatusForbidden], 2)
			require.GreaterOrEqual(t, codes[http.StatusTooManyRequests], 2)
		})
	}
}

func TestRateLimitIsSharedAndAnswers429(t *testing.T) {
	t.Parallel()
	g := setup(t, moduletest.Redis(redistest.Private(t).Config()), config("caller_rate", twoAtOnce))
	other := *g
	other.Service = g.Another()
	other.url = urlOf(t, other.Service)
	codes := map[int]int{}
	for i := range 5 {
		res := []*gateway{g, &other}[i%2].send(http.MethodGet, "/v1/cart", "", "Authorization", asUser)
		codes[res.StatusCode]++
		if res.StatusCode == http.StatusTooManyRequests {
			res.problem(t, http.StatusTooManyRequests, errs.RateLimited)
			require.NotEmpty(t, res.Header.Get("Retry-After"))
		}
	}
	require.GreaterOrEqual(t, codes[http.StatusTooManyRequests], 2)
	require.GreaterOrEqual(t, codes[http.StatusOK], 2)
	require.Equal(t, http.StatusOK,
		g.send(http.MethodGet, "/v1/cart", "", "Authorization", "Bearer user-usr_2").StatusCode,
		"others are not limited")
}
