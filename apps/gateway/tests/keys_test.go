package tests

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/waittest"
)

func TestIdempotencyKeyReplaysTheFirstAnswer(t *testing.T) {
	t.Parallel()
	g := setup(t)
	checkout := func(key, body string, header ...string) answer {
		header = append(header, "Authorization", asUser)
		if key != "" {
			header = append(header, "Idempotency-Key", key)
		}
		return g.send(http.MethodPost, "/v1/checkout", body, header...)
	}
	require.Equal(t, "Idempotency-Key",
		field(t, checkout("", checkoutBody).problem(t, http.StatusBadRequest, errs.Invalid)))
	require.Equal(t, "Idempotency-Key",
		field(t, checkout(strings.Repeat("k", 256), checkoutBody).problem(t, http.StatusBadRequest, errs.Invalid)))

	key := rand.Text()
	first := checkout(key, checkoutBody)
	require.Equal(t, http.StatusCreated, first.StatusCode, first.body)
	require.Equal(t, "/v1/orders/ord_1", first.Header.Get("Location"))
	require.Empty(t, first.Header.Get("Idempotent-Replayed"))
	again := checkout(key, checkoutBody)
	require.Equal(t, http.StatusCreated, again.StatusCode)
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
	require.Equal(t, "/v1/orders/ord_1", again.Header.Get("Location"))
	require.Equal(t, "no-store", again.Header.Get("Cache-Control"))
	require.Equal(t, 1, g.orders.count())
	checkout(
		key, strings.ReplaceAll(checkoutBody, "tok_ok", "tok_declined"),
	).problem(t, http.StatusUnprocessableEntity, errs.IdempotencyMismatch)

	other := g.send(http.MethodPost, "/v1/checkout", checkoutBody, "Authorization", "Bearer user-usr_2",
		"Idempotency-Key", key)
	require.Equal(t, http.StatusCreated, other.StatusCode)
	require.Empty(t, other.Header.Get("Idempotent-Replayed"), "keys are scoped to the caller")
	g.send(http.MethodPost, "/v1/checkout", checkoutBody, "Idempotency-Key", key).
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
}

// TestLargeAnswersAreReadAnewForARetry: each of these answers is too large to keep.
func TestLargeAnswersAreReadAnewForARetry(t *testing.T) {
	t.Parallel()
	g := setup(t)
	large := strings.Repeat("x", 40<<10)
	retry := func(target, body string) (first, again answer) {
		key := rand.Text()
		first = g.send(http.MethodPost, target, body, "Authorization", asUser, "Idempotency-Key", key)
		again = g.send(http.MethodPost, target, body, "Authorization", asUser, "Idempotency-Key", key)
		require.Equal(t, first.StatusCode, again.StatusCode, again.body)
		require.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
		require.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
		require.Equal(t, "no-store", again.Header.Get("Cache-Control"))
		require.Empty(t, again.Header.Get("ETag"))
		require.Less(t, len(again.body), len(first.body))
		return first, again
	}
	g.orders.checkout = func(context.Context) (*orderv1.Order, error) {
		return &orderv1.Order{Id: "ord_1", Number: large}, nil
	}
	first, again := retry("/v1/checkout", checkoutBody)
	require.Equal(t, http.StatusCreated, first.StatusCode)
	require.Equal(t, 1, g.orders.count())
	order, _ := again.json(t)["order"].(map[string]any)
	require.Equal(t, "ord_1", order["id"], "in the form of the first answer")
	require.Equal(t, "as it is now", order["number"])

	_, again = retry("/v1/shops/shp_1/products", `{"title":"A lamp","description":"`+large+
		`","variants":[{"sku":"A","price":{"currencyCode":"BRL","amount":"1.00"}}]}`)
	require.Equal(t, "prd_new", again.json(t)["id"])

	g.carts.title = large
	_, again = retry("/v1/cart/items", `{"variantId":"var_1","quantity":1}`)
	require.Empty(t, again.json(t)["items"], "the fake's cart")
}

func TestRefusalsAreReplayedAndFailuresAreNot(t *testing.T) {
	t.Parallel()
	g := setup(t)
	var fail error
	g.orders.checkout = func(context.Context) (*orderv1.Order, error) { return &orderv1.Order{Id: "ord_1"}, fail }
	checkout := func(key string) answer {
		return g.send(http.MethodPost, "/v1/checkout", checkoutBody, "Authorization", asGuest, "Idempotency-Key", key)
	}
	fail = errs.New(errs.PaymentDeclined, "declined")
	key := rand.Text()
	checkout(key).problem(t, http.StatusPaymentRequired, errs.PaymentDeclined)
	fail = nil
	res := checkout(key)
	res.problem(t, http.StatusPaymentRequired, errs.PaymentDeclined)
	require.Equal(t, "true", res.Header.Get("Idempotent-Replayed"), "refusals are kept")

	fail = errs.New(errs.Unavailable, "down")
	key = rand.Text()
	checkout(key).problem(t, http.StatusServiceUnavailable, errs.Unavailable)
	fail = nil
	require.Equal(t, http.StatusCreated, checkout(key).StatusCode, "a retry after a 5xx runs again")

	g.orders.checkout = func(context.Context) (*orderv1.Order, error) { panic("oh") }
	key = rand.Text()
	checkout(key).problem(t, http.StatusInternalServerError, errs.Internal)
	g.orders.checkout = nil
	require.Equal(t, http.StatusCreated, checkout(key).StatusCode)
}

func TestOneOfHundredRequestsWithOneKeyRuns(t *testing.T) {
	t.Parallel()
	g := setup(t)
	key := rand.Text()
	release := make(chan struct{})
	g.orders.checkout = func(context.Context) (*orderv1.Order, error) {
		waittest.Receive(t, release)
		return &orderv1.Order{Id: "ord_1"}, nil
	}
	var mu sync.Mutex
	codes := map[int]int{}
	var all, refused sync.WaitGroup
	refused.Add(99)
	for range 100 {
		all.Go(func() {
			res := g.send(http.MethodPost, "/v1/checkout", checkoutBody, "Authorization", asUser, "Idempotency-Key",
				key)
			mu.Lock()
			codes[res.StatusCode]++
			mu.Unlock()
			if res.StatusCode == http.StatusConflict {
				refused.Done()
			}
		})
	}
	refused.Wait()
	close(release)
	all.Wait()
	require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusConflict: 99}, codes)
	require.Equal(t, 1, g.orders.count())
}
