package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
)

func TestMethodsThatNeedARecentSignIn(t *testing.T) {
	t.Parallel()
	g := setup(t)
	const path, body = "/v1/shops/s/api-keys", `{"name":"x","scopes":["order.read"]}`
	// The shop service is down in this test.
	g.send(http.MethodPost, path, body, "Authorization", asUser).
		problem(t, http.StatusServiceUnavailable, errs.Unavailable)
	g.auth.mu.Lock()
	g.auth.longAgo = true
	g.auth.mu.Unlock()
	old := "Bearer user-usr_2"
	for range 2 { // also as the answer to a repetition
		refused := g.send(http.MethodPost, path, body, "Authorization", old, "Idempotency-Key", "0123456789abcdef")
		refused.problem(t, http.StatusUnauthorized, errs.SignInAgain)
		require.Equal(t, `Bearer realm="souk", error="insufficient_user_authentication", `+
			`error_description="a recent sign-in is needed", max_age="600"`, refused.Header.Get("WWW-Authenticate"))
	}
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, "/v1/products", "", "Authorization", old).StatusCode)
	anybody := g.send(http.MethodPost, path, body)
	anybody.problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	require.Equal(t, `Bearer realm="souk"`, anybody.Header.Get("WWW-Authenticate"))
}

func TestLoginAsksForARecentSignIn(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for query, want := range map[string]struct {
		maxAge int64
		again  bool
	}{
		"":                           {0, false},
		"?max_age=600":               {600, false},
		"?max_age=0":                 {0, true},
		"?prompt=login":              {0, true},
		"?prompt=login&max_age=5":    {5, true},
		"?returnTo=%2Fx&max_age=600": {600, false},
	} {
		res := g.send(http.MethodGet, "/auth/login"+query, "", "Host", "souk.test")
		require.Equal(t, http.StatusSeeOther, res.StatusCode, query)
		require.Equal(t, want.maxAge, g.auth.begun.GetMaxAge(), query)
		require.Equal(t, want.again, g.auth.begun.GetAgain(), query)
	}
	for query, name := range map[string]string{
		"?max_age=-1": "max_age", "?max_age=soon": "max_age", "?max_age=": "max_age", "?prompt=none": "prompt",
	} {
		p := g.send(http.MethodGet, "/auth/login"+query, "", "Host", "souk.test").
			problem(t, http.StatusBadRequest, errs.Invalid)
		require.Equal(t, name, field(t, p), query)
	}
}
