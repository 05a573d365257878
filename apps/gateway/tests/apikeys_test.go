package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

const asKey = "Bearer souk_sk_secret"

// setKey makes the auth service know an API key of a shop, or none if k is nil.
func (g *gateway) setKey(k *authv1.AuthenticateResponse) {
	g.auth.mu.Lock()
	defer g.auth.mu.Unlock()
	g.auth.keys = map[string]*authv1.AuthenticateResponse{}
	if k != nil {
		k.Kind, k.SubjectId, k.ShopId = "key", "key_1", "shp_1"
		k.ReusableUntil = timestamppb.New(time.Now().Add(time.Hour)) // the gateway keeps it for less
		g.auth.keys["souk_sk_secret"] = k
	}
}

func TestAPIKeysReachTheMethodsOfTheirScopesAlone(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.setKey(&authv1.AuthenticateResponse{Permissions: []string{"product.write"}})
	const imports = `{"products":[{"shop":"s"}]}`
	for target, want := range map[string]int{
		"POST /v1/products:import":        http.StatusOK,
		"GET /v1/shops/s/orders":          http.StatusForbidden,
		"GET /v1/cart":                    http.StatusForbidden,
		"GET /v1/me":                      http.StatusForbidden,
		"GET /v1/operator/users":          http.StatusForbidden,
		"POST /v1/shops/s/api-keys":       http.StatusForbidden,
		"GET /v1/products":                http.StatusOK,
		"POST /v1/checkout":               http.StatusForbidden,
		"GET /v1/me/notifications:stream": http.StatusUnauthorized,
	} {
		method, path, _ := strings.Cut(target, " ")
		body := ""
		if method == http.MethodPost {
			body = imports
		}
		require.Equal(t, want, g.send(method, path, body, "Authorization", asKey).StatusCode, target)
	}
}

func TestAPIKeysAreUsedFromTheirAddressesAlone(t *testing.T) {
	t.Parallel()
	g := setup(t, config("trusted_proxies", []string{"127.0.0.1/32"}))
	g.setKey(&authv1.AuthenticateResponse{AllowedAddresses: []string{"203.0.113.0/24"}})
	from := func(address string) answer {
		return g.send(http.MethodGet, "/v1/products", "", "Authorization", asKey, "X-Forwarded-For", address)
	}
	for range 2 { // the second time by what the gateway remembers
		require.Equal(t, http.StatusOK, from("203.0.113.7").StatusCode)
		from("198.51.100.7").problem(t, http.StatusForbidden, errs.Forbidden)
	}
	from("203.0.113.7, 198.51.100.7").problem(t, http.StatusForbidden, errs.Forbidden)
}

func TestAPIKeysHaveTheirOwnRate(t *testing.T) {
	t.Parallel()
	g := setup(t, moduletest.Redis(redistest.Private(t).Config()),
		config("address_rate", map[string]any{"per_second": 1, "burst": 2}))
	g.setKey(&authv1.AuthenticateResponse{RatePerMinute: 1})
	send := func(as string) answer {
		return g.send(http.MethodGet, "/v1/products", "", "Authorization", as)
	}
	for range 30 {
		require.Equal(t, http.StatusOK, send(asKey).StatusCode)
	}
	send(asKey).problem(t, http.StatusTooManyRequests, errs.RateLimited)
	require.Equal(t, http.StatusOK, send(asUser).StatusCode)
	// Guesses, and uses from a wrong address, count against the limit of their sender.
	g.setKey(&authv1.AuthenticateResponse{AllowedAddresses: []string{"203.0.113.0/24"}})
	waittest.Until(t, func() bool { return send(asKey).StatusCode == http.StatusForbidden }, "the key is still used")
	waittest.Until(t, func() bool { return send(asKey).StatusCode == http.StatusTooManyRequests }, "not counted")
	send("Bearer souk_sk_guess").problem(t, http.StatusTooManyRequests, errs.RateLimited)
}

func TestDeletedAPIKeysStopWithinASecond(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.setKey(&authv1.AuthenticateResponse{})
	send := func() int {
		return g.send(http.MethodGet, "/v1/products", "", "Authorization", asKey).StatusCode
	}
	require.Equal(t, http.StatusOK, send())
	g.setKey(nil)
	deleted := time.Now()
	var last time.Time // the last request that was answered
	waittest.Until(t, func() bool {
		began := time.Now()
		ok := send() == http.StatusOK
		if ok {
			last = began
		}
		return !ok
	}, "the key is still used")
	require.Less(t, last.Sub(deleted), time.Second)
}
