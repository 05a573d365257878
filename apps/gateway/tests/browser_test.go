package tests

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
)

func cookie(t *testing.T, res answer, name string) *http.Cookie {
	t.Helper()
	for _, c := range res.Cookies() {
		if c.Name == name {
			return c
		}
	}
	require.Fail(t, "no cookie "+name)
	return nil
}

func TestBrowserSignsInAndOut(t *testing.T) {
	t.Parallel()
	for public, prefix := range map[string]string{"http://souk.test": "", "https://souk.test/": "__Host-"} {
		g := setup(t, config("public_url", public))
		secure := prefix != ""
		res := g.send(http.MethodGet, "/auth/login?returnTo=/orders", "", "Host", "souk.test")
		require.Equal(t, http.StatusSeeOther, res.StatusCode, res.body)
		require.Equal(t, "https://id.test/authorize?x=1", res.Header.Get("Location"))
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
		require.Equal(t, "/orders", g.auth.begun.GetReturnTo())
		require.Regexp(t, `^https?://souk\.test/auth/callback$`, g.auth.begun.GetRedirectUri())
		c := cookie(t, res, prefix+"souk_login")
		require.Equal(t, "login-value", c.Value)
		require.True(t, c.HttpOnly)
		require.Equal(t, secure, c.Secure)
		require.Equal(t, http.SameSiteLaxMode, c.SameSite)
		require.Equal(t, "/", c.Path)
		require.Empty(t, c.Domain)
		require.Positive(t, c.MaxAge)
		require.Equal(t, "begun-device", cookie(t, res, prefix+"souk_device").Value)

		g.auth.returnTo = "/orders"
		made := g.send(http.MethodPost, "/v1/guest", `{}`)
		require.Equal(t, http.StatusCreated, made.StatusCode, made.body)
		guest := cookie(t, made, prefix+"souk_guest")
		require.Equal(t, made.json(t)["token"], guest.Value)
		require.True(t, guest.HttpOnly)
		require.Equal(t, secure, guest.Secure)
		require.Equal(t, http.SameSiteLaxMode, guest.SameSite)
		require.InDelta(t, 3600, guest.MaxAge, 60)

		res = g.send(http.MethodGet, "/auth/callback?code=c&state=s", "", "Cookie",
			prefix+"souk_login=login-value; "+prefix+"souk_guest="+guest.Value+"; "+prefix+"souk_device=old-device",
			"User-Agent", "Firefox")
		require.Equal(t, http.StatusSeeOther, res.StatusCode, res.body)
		require.Equal(t, "/orders", res.Header.Get("Location"))
		require.Equal(t, "login-value", g.auth.complete.GetLoginCookie())
		require.Equal(t, guest.Value, g.auth.complete.GetGuestToken())
		require.Equal(t, "old-device", g.auth.complete.GetDevice())
		require.Equal(t, "Firefox", g.auth.complete.GetUserAgent())
		require.Equal(t, "127.0.0.1", g.auth.complete.GetAddress())
		require.Equal(t, "new-device", cookie(t, res, prefix+"souk_device").Value)
		require.True(t, cookie(t, res, prefix+"souk_device").HttpOnly)
		require.Negative(t, cookie(t, res, prefix+"souk_guest").MaxAge, "the user has the cart now")
		require.Nil(t, g.auth.out, "there was no session to end")
		session := cookie(t, res, prefix+"souk_session")
		require.Equal(t, "new-session", session.Value)
		require.True(t, session.HttpOnly)
		require.Equal(t, secure, session.Secure)
		require.Equal(t, http.SameSiteLaxMode, session.SameSite)
		require.InDelta(t, 3600, session.MaxAge, 60)
		require.Negative(t, cookie(t, res, prefix+"souk_login").MaxAge)
		require.Equal(t, secure, res.Header.Get("Strict-Transport-Security") != "")

		res = g.send(http.MethodPost, "/auth/logout?everywhere=true", "", "Cookie", prefix+"souk_session=live")
		require.Equal(t, http.StatusNoContent, res.StatusCode, res.body)
		require.Equal(t, "live", g.auth.out.GetSessionId())
		require.True(t, g.auth.out.GetEverywhere())
		require.Equal(t, strings.TrimSuffix(public, "/")+"/", g.auth.out.GetPostLogoutRedirectUri())
		require.Negative(t, cookie(t, res, prefix+"souk_session").MaxAge)
		require.Equal(t, http.StatusNoContent, g.send(http.MethodPost, "/auth/logout", "").StatusCode,
			"without a session the browser is already signed out")
	}
}

func TestSignOutContinuesAtTheProvider(t *testing.T) {
	t.Parallel()
	g := setup(t)
	const there = "https://id.test/end?client_id=souk&post_logout_redirect_uri=http%3A%2F%2Fsouk.test%2F"
	form := []string{
		"Accept",
		"text/html,application/xhtml+xml,*/*;q=0.8",
		"Content-Type",
		"application/x-www-form-urlencoded",
	}
	navigation := append([]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin"}, form...)
	script := append([]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin"}, form...)
	for name, tc := range map[string]struct {
		end, cookie string
		header      []string
		status      int
		location    string
	}{
		"form":                        {there, "souk_session=live", form, http.StatusSeeOther, there},
		"form of a newer browser":     {there, "souk_session=live", navigation, http.StatusSeeOther, there},
		"form, no such place":         {"", "souk_session=live", form, http.StatusSeeOther, "/"},
		"form of somebody signed out": {there, "", form, http.StatusSeeOther, "/"},
		"script":                      {there, "souk_session=live", script, http.StatusNoContent, there},
		"client": {
			there, "souk_session=live", []string{"Accept", "*/*"}, http.StatusNoContent, there,
		},
		"client that posts a form": {
			there, "souk_session=live",
			[]string{"Accept", "*/*", "Content-Type", "application/x-www-form-urlencoded"}, http.StatusNoContent,
			there,
		},
		"client, no such place":          {"", "souk_session=live", nil, http.StatusNoContent, ""},
		"client of somebody signed out ": {there, "", nil, http.StatusNoContent, ""},
	} {
		g.auth.endURL, g.auth.out = tc.end, nil
		res := g.send(http.MethodPost, "/auth/logout", "", append([]string{"Cookie", tc.cookie}, tc.header...)...)
		require.Equal(t, tc.status, res.StatusCode, name)
		require.Equal(t, tc.location, res.Header.Get("Location"), name)
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"), name)
		require.Equal(t, tc.cookie != "", g.auth.out != nil, name)
		if tc.cookie != "" {
			require.Negative(t, cookie(t, res, "souk_session").MaxAge, name)
		}
	}

	g.auth.outErr = errs.New(errs.Unauthenticated, "this session has ended")
	res := g.send(
		http.MethodPost,
		"/auth/logout?everywhere=true",
		"",
		append([]string{"Cookie", "souk_session=old"}, form...)...)
	require.Equal(t, http.StatusSeeOther, res.StatusCode, res.body)
	require.Equal(t, "/", res.Header.Get("Location"))
	g.auth.outErr = errs.New(errs.Unavailable, "redis is down")
	res = g.send(http.MethodPost, "/auth/logout", "", append([]string{"Cookie", "souk_session=live"}, form...)...)
	res.problem(t, http.StatusServiceUnavailable, errs.Unavailable)
	require.Empty(t, res.Cookies(), "a failed sign-out keeps the session")
}

func TestGuestCookieIsNoCredential(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.send(http.MethodPost, "/v1/cart/items", `{"variantId":"v","quantity":1}`, "Cookie", "souk_guest=guest-gst_1").
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	require.Nil(t, g.carts.added)
}

func TestSecondSignInEndsTheOldSession(t *testing.T) {
	t.Parallel()
	g := setup(t)
	again := func(cookies string) answer {
		return g.send(http.MethodGet, "/auth/callback?code=c&state=s", "", "Cookie", "souk_login=v; "+cookies)
	}
	g.auth.err = errs.New(errs.Unauthenticated, "state does not fit")
	again("souk_session=live").problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	require.Nil(t, g.auth.out, "a failed sign-in ends no session")
	g.auth.err = nil

	res := again("souk_session=live")
	require.Equal(t, http.StatusSeeOther, res.StatusCode, res.body)
	require.Equal(t, "live", g.auth.out.GetSessionId())
	require.False(t, g.auth.out.GetEverywhere())
	require.Equal(t, "new-session", cookie(t, res, "souk_session").Value)

	g.auth.outErr = errs.New(errs.Unavailable, "redis is down")
	res = again("souk_session=live")
	require.Equal(t, http.StatusSeeOther, res.StatusCode, res.body)
	require.Equal(t, "new-session", cookie(t, res, "souk_session").Value)
	require.Contains(t, g.Logs(), "old session was not ended")
}

func TestSignInBeginsAtThePublicHost(t *testing.T) {
	t.Parallel()
	g := setup(t, config("public_url", "http://127.0.0.1:8080"))
	res := g.send(http.MethodGet, "/auth/login?returnTo=/orders%3Fa%3D1", "", "Host", "localhost:8080")
	require.Equal(t, http.StatusSeeOther, res.StatusCode, res.body)
	require.Equal(t, "http://127.0.0.1:8080/auth/login?moved=1&returnTo=%2Forders%3Fa%3D1", res.Header.Get("Location"))
	require.Empty(t, res.Cookies())
	require.Nil(t, g.auth.begun)
	for host, target := range map[string]string{
		"127.0.0.1:8080": "/auth/login",
		"internal:9090":  "/auth/login?moved=1", // behind a proxy that does not forward the host: one redirect is enough
	} {
		require.Equal(t, "https://id.test/authorize?x=1",
			g.send(http.MethodGet, target, "", "Host", host).Header.Get("Location"), host)
	}
	for public, host := range map[string]string{
		"https://souk.test": "Souk.test:443", "http://souk.test:80": "souk.test",
		"http://127.0.0.1:0": "127.0.0.1:34567",
	} {
		g := setup(t, config("public_url", public))
		require.Equal(t, "https://id.test/authorize?x=1",
			g.send(http.MethodGet, "/auth/login", "", "Host", host).Header.Get("Location"), public)
	}
}

func TestFailedSignInIsAProblem(t *testing.T) {
	t.Parallel()
	g := setup(t)
	const login = "souk_login=v"
	g.send(http.MethodGet, "/auth/callback?code=c&state=s", "").
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	g.send(http.MethodGet, "/auth/callback?state=s", "", "Cookie", login).
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	res := g.send(http.MethodGet, "/auth/callback?error=access_denied%3Cscript%3E", "", "Cookie", login)
	res.problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	require.NotContains(t, res.body, "<")
	g.auth.err = errs.New(errs.Unauthenticated, "state does not fit")
	res = g.send(http.MethodGet, "/auth/callback?code=c&state=s", "", "Cookie", login)
	res.problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	require.Empty(t, res.Cookies())
	g.auth.err = errs.New(errs.Unavailable, "the provider is down")
	g.send(http.MethodGet, "/auth/login", "", "Host", "souk.test").
		problem(t, http.StatusServiceUnavailable, errs.Unavailable)
	g.auth.err = nil
	for _, elsewhere := range []string{"https://evil.test/", "//evil.test", `/\evil.test`, ""} {
		g.auth.returnTo = elsewhere
		require.Equal(t, "/",
			g.send(http.MethodGet, "/auth/callback?code=c&state=s", "", "Cookie", login).Header.Get("Location"),
			elsewhere)
	}
}

func TestOnlyAllowedOriginsMayUseCookies(t *testing.T) {
	t.Parallel()
	g := setup(t, config("origins", []string{"https://panel.test"}))
	const body = `{"variantId":"v","quantity":1}`
	res := g.send(http.MethodOptions, "/v1/cart/items", "", "Origin", "https://panel.test",
		"Access-Control-Request-Method", "POST")
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	require.Equal(t, "https://panel.test", res.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, res.Header.Get("Access-Control-Allow-Headers"), "Idempotency-Key")
	res = g.send(http.MethodPost, "/v1/cart/items", body, "Origin", "https://panel.test", "Cookie", "souk_session=live")
	require.Equal(t, http.StatusOK, res.StatusCode, res.body)
	require.Equal(t, "true", res.Header.Get("Access-Control-Allow-Credentials"))

	res = g.send(http.MethodPost, "/v1/cart/items", body, "Origin", "https://evil.test", "Sec-Fetch-Site",
		"cross-site", "Cookie", "souk_session=live")
	res.problem(t, http.StatusForbidden, errs.Forbidden)
	require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
	res = g.send(http.MethodPost, "/v1/cart/items", body, "Origin", "https://evil.test", "Authorization", asUser)
	require.Equal(t, http.StatusOK, res.StatusCode, "a bearer token is not ambient authority")
}

func TestWebhookIsForwardedByteForByte(t *testing.T) {
	t.Parallel()
	g := setup(t)
	const raw = " {\"a\" : 1.0 ,\n\t\"b\":\"\\u00e9\"}\r\n"
	res := g.send(http.MethodPost, "/v1/webhooks/payments/sandbox", raw, "Souk-Sandbox-Signature", "t=1,v1=abc",
		"Authorization", asUser)
	require.Equal(t, http.StatusNoContent, res.StatusCode, res.body)
	require.Equal(t, raw, string(g.payments.notice.GetBody()))
	require.Equal(t, "t=1,v1=abc", g.payments.notice.GetSignature())
	require.Equal(t, "sandbox", g.payments.notice.GetProvider())
	require.Equal(t, "gateway", g.payments.from.ID)
	require.Equal(t, http.StatusBadRequest, g.send(http.MethodPost, "/v1/webhooks/payments/sandbox", "").StatusCode)
}

func TestDocumentationIsServedWithoutOtherSites(t *testing.T) {
	t.Parallel()
	g := setup(t)
	page := g.send(http.MethodGet, "/docs", "")
	require.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
	policy := page.Header.Values("Content-Security-Policy")
	require.Len(t, policy, 1)
	require.Contains(t, policy[0], "script-src 'self'")
	require.NotContains(t, policy[0], "unsafe")
	require.NotRegexp(t, regexp.MustCompile(`(?i)<script>|<style|\son\w+=|https?://`), page.body,
		"nothing inline, nothing from other sites")
	for _, m := range regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page.body, -1) {
		require.Equal(t, http.StatusOK, g.send(http.MethodGet, m[1], "").StatusCode, m[1])
	}
	require.Equal(t, "text/javascript; charset=utf-8",
		g.send(http.MethodGet, "/docs/docs.js", "").Header.Get("Content-Type"))
	require.Contains(t, g.send(http.MethodGet, "/docs/docs.js", "").body, "validatorUrl: null", "no online validator")
	require.Equal(t, "text/css; charset=utf-8",
		g.send(http.MethodGet, "/docs/swagger-ui.css", "").Header.Get("Content-Type"))
	g.send(http.MethodGet, "/docs/LICENSE", "").problem(t, http.StatusNotFound, errs.NotFound)
	require.Contains(t, g.send(http.MethodGet, "/openapi.json", "").json(t)["openapi"], "3.1")
	for _, path := range []string{"/openapi.json", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"} {
		res := g.send(http.MethodGet, path, "", "Accept-Encoding", "br, gzip")
		require.Equal(t, "br", res.Header.Get("Content-Encoding"), path)
		require.Equal(t, []string{"Accept-Encoding"}, res.Header.Values("Vary"), path)
		etag := res.Header.Get("ETag")
		require.NotEmpty(t, etag)
		res = g.send(http.MethodGet, path, "", "If-None-Match", etag)
		require.Equal(t, http.StatusNotModified, res.StatusCode, path)
		plain := g.send(http.MethodGet, path, "", "Accept-Encoding", "identity")
		require.Equal(t, []string{"Accept-Encoding"}, plain.Header.Values("Vary"), path)
	}
}

func TestPathsWithoutRouteAreNotFound(t *testing.T) {
	t.Parallel()
	g := setup(t)
	for _, path := range []string{
		"/docs/x", "/docs/docs.js/x", "/health", "/health/x", "/auth", "/auth/x", "/x", "/v1", "/v1/x",
		"/v1/webhooks/payments/x/y", "/dev/mail",
	} {
		g.send(http.MethodGet, path, "").problem(t, http.StatusNotFound, errs.NotFound)
	}
	for target, method := range map[string]string{
		"/docs": http.MethodPost, "/docs/docs.js": http.MethodPut, "/openapi.json": http.MethodDelete,
		"/auth/login": http.MethodPost,
	} {
		res := g.send(method, target, "")
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, target)
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), target)
	}
}

func TestHealthNeedsNoOtherService(t *testing.T) {
	t.Parallel()
	redis := redistest.Private(t)
	g := setup(t, moduletest.Redis(redis.Config()), down("auth"))
	for _, path := range []string{"/health/live", "/health/ready"} {
		res := g.send(http.MethodGet, path, "", "Authorization", asUser)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.JSONEq(t, `{"status":"ok","environment":"production"}`, res.body)
	}
	require.NoError(t, redis.Stop(t.Context()))
	res := g.send(http.MethodGet, "/health/ready", "")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.JSONEq(t, `{"status":"unavailable","environment":"production"}`, res.body, "without the reason")
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, "/health/live", "").StatusCode)
}

func TestDevPathsAreForwarded(t *testing.T) {
	t.Parallel()
	tools := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dev/early" {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
		}
		w.Header().Set("Content-Security-Policy", "script-src 'self'")
		_, _ = w.Write([]byte("tools: " + r.URL.Path))
		_ = http.NewResponseController(w).Flush()
	}))
	t.Cleanup(tools.Close)
	g := setup(t, config("dev_url", tools.URL))
	res := g.send(http.MethodGet, "/dev/mail", "")
	require.Equal(t, "tools: /dev/mail", res.body)
	require.Equal(t, []string{"script-src 'self'"}, res.Header.Values("Content-Security-Policy"), "the tool's alone")
	require.Len(t, res.Header.Values("X-Request-Id"), 1)
	require.Equal(t, http.StatusAccepted, g.send(http.MethodGet, "/dev/early", "").StatusCode,
		"an early hint is not the answer")
	tools.Close()
	g.send(http.MethodGet, "/dev/mail", "").problem(t, http.StatusServiceUnavailable, errs.Unavailable)
}
