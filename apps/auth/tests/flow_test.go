package auth_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/clock"
	"souk/pkg/devstack/oidcserver"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

// TestBrowserSignsInAndOut is a whole sign-in as a browser sees it, with the provider of `souk dev`.
func TestBrowserSignsInAndOut(t *testing.T) {
	t.Parallel()
	provider, err := oidcserver.Start(t.Context(), oidcserver.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Stop(context.Background())) })
	h := setup(t, moduletest.Clock(clock.System{}), moduletest.Config(map[string]any{
		"issuer": provider.Issuer(), "client_id": oidcserver.ClientID, "client_secret": "",
		"audience": oidcserver.Audience,
	}))
	mux := http.NewServeMux()
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	var callback *url.URL
	mux.HandleFunc("/auth/login", func(w http.ResponseWriter, r *http.Request) {
		res, err := h.auth.BeginLogin(r.Context(),
			&authv1.BeginLoginRequest{ReturnTo: "/welcome", RedirectUri: site.URL + "/auth/callback"})
		if err != nil {
			http.Error(w, err.Error(), errs.CodeOf(err).HTTPStatus())
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "login", Value: res.GetLoginCookie(), Path: "/", HttpOnly: true})
		http.Redirect(w, r, res.GetAuthorizeUrl(), http.StatusSeeOther)
	})
	mux.HandleFunc("/auth/callback", func(w http.ResponseWriter, r *http.Request) {
		callback = r.URL
		cookie, err := r.Cookie("login")
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		res, err := h.auth.CompleteLogin(
			r.Context(),
			&authv1.CompleteLoginRequest{
				Code:        r.FormValue("code"),
				State:       r.FormValue("state"),
				LoginCookie: cookie.Value,
			},
		)
		if err != nil {
			http.Error(w, err.Error(), errs.CodeOf(err).HTTPStatus())
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: res.GetSessionId(), Path: "/", HttpOnly: true})
		http.Redirect(w, r, res.GetReturnTo(), http.StatusSeeOther)
	})
	mux.HandleFunc("/welcome", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "welcome") })

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	browser := &http.Client{Jar: jar, Transport: transport}
	read := func(res *http.Response, err error) (*http.Response, string) {
		require.NoError(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res, body.String()
	}
	page, html := read(browser.Get(site.URL + "/auth/login"))
	require.Equal(t, http.StatusOK, page.StatusCode, html)
	require.True(t, strings.HasPrefix(page.Request.URL.String(), provider.Issuer()), "the browser is at the provider")
	action := *page.Request.URL
	form := url.Values{"id": {action.Query().Get("id")}, "email": {"ann@souk.example"}}
	action.RawQuery, action.Path = "", "/login"
	page, html = read(browser.PostForm(action.String(), form))
	require.Equal(t, "/welcome", page.Request.URL.Path, html)
	require.Equal(t, "welcome", html)

	here, err := url.Parse(site.URL)
	require.NoError(t, err)
	var sessionID string
	for _, c := range jar.Cookies(here) {
		if c.Name == "session" {
			sessionID = c.Value
		}
	}
	who, err := h.session(sessionID)
	require.NoError(t, err)
	require.Equal(t, []string{"customer"}, who.GetRoles())
	require.Equal(t, "ann@souk.example", h.users.ensured()[0].GetEmail())

	// The same code does not sign in twice.
	page, _ = read(browser.Get(site.URL + callback.String()))
	require.Equal(t, http.StatusUnauthorized, page.StatusCode)

	// A token of the provider for the same person names the same user.
	token, err := provider.Token(t.Context(), "ann@souk.example", []string{"operator"}, time.Hour)
	require.NoError(t, err)
	again, err := h.bearer(token)
	require.NoError(t, err)
	require.Equal(t, who.GetSubjectId(), again.GetSubjectId())
	require.Equal(t, []string{"customer", "operator"}, again.GetRoles())

	out, err := h.auth.Logout(t.Context(),
		&authv1.LogoutRequest{SessionId: sessionID, Everywhere: true, PostLogoutRedirectUri: site.URL + "/welcome"})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(out.GetEndSessionUrl(), provider.Issuer()))
	page, html = read(browser.Get(out.GetEndSessionUrl()))
	require.Equal(t, site.URL+"/welcome", page.Request.URL.String(), html)
	h.Stop()
	for _, s := range []string{
		sessionID, token, callback.Query().Get("code"), callback.Query().Get("state"), "ann@souk.example",
	} {
		require.NotContains(t, h.Logs(), s)
	}
}

// TestModuleIsReadyWithoutProvider also checks that guests work while the provider is down.
func TestModuleIsReadyWithoutProvider(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	h := setup(t, moduletest.Config(map[string]any{"issuer": gone.URL}))
	_, err := h.auth.BeginLogin(t.Context(), &authv1.BeginLoginRequest{RedirectUri: redirectURI})
	requireCode(t, errs.Unavailable, err)
	guest, err := h.auth.CreateGuest(t.Context(), &authv1.CreateGuestRequest{})
	require.NoError(t, err)
	_, err = h.bearer(guest.GetToken())
	require.NoError(t, err)
}
