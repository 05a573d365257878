package oidcserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"go.uber.org/goleak"

	"souk/pkg/devstack/oidcserver"
	"souk/pkg/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, dir string) *oidcserver.Provider {
	t.Helper()
	p, err := oidcserver.Start(
		t.Context(),
		oidcserver.Options{
			Dir:       dir,
			DemoUsers: []oidcserver.User{{Email: "seller@souk.example", Name: "Sam Seller", Roles: []string{"seller"}}},
		},
	)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Stop(context.Background())) })
	return p
}

// browser is an HTTP client that keeps cookies and stops at redirects away from the provider.
func browser(t *testing.T, issuer string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), issuer) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func read(t *testing.T, r *http.Response) string {
	t.Helper()
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

const (
	redirectURI = "http://127.0.0.1:54321/auth/callback"
	verifier    = "a-code-verifier-that-is-long-enough-for-the-rules-0123456789"
)

type claims struct {
	oidc.TokenClaims
	Email         string   `json:"email"`
	EmailVerified bool     `json:"email_verified"`
	Name          string   `json:"name"`
	Roles         []string `json:"roles"`
}

// verified verifies a token as a resource server does, with the keys in the provider's JWKS.
func verified(t *testing.T, p *oidcserver.Provider, hc *http.Client, token string) claims {
	t.Helper()
	var c claims
	_, err := oidc.ParseToken(token, &c)
	require.NoError(t, err)
	require.Equal(t, "at+jwt", mustSigned(t, token).Signatures[0].Protected.ExtraHeaders[jose.HeaderType])
	payload, err := rp.NewRemoteKeySet(hc, p.Issuer()+"/keys").VerifySignature(t.Context(), mustSigned(t, token))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(payload, &c))
	require.Equal(t, p.Issuer(), c.Issuer)
	require.Contains(t, []string(c.Audience), "souk")
	return c
}

func TestCodeFlowSignsInRefreshesAndSignsOut(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	hc := browser(t, p.Issuer())
	party, err := rp.NewRelyingPartyOIDC(t.Context(), p.Issuer(), oidcserver.ClientID, "", redirectURI,
		[]string{"openid", "email", "profile", "offline_access"}, rp.WithHTTPClient(hc))
	require.NoError(t, err)

	response, err := hc.Get(rp.AuthURL("the-state", party, rp.WithCodeChallenge(oidc.NewSHACodeChallenge(verifier))))
	require.NoError(t, err)
	body := read(t, response)
	require.Contains(t, body, "Development only")
	require.Contains(t, body, "Sam Seller")
	id := response.Request.URL.Query().Get("id")

	response, err = hc.PostForm(p.Issuer()+"/login", url.Values{"id": {id}, "email": {"no address"}})
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Contains(t, read(t, response), "must be an e-mail address")

	response, err = hc.PostForm(p.Issuer()+"/login", url.Values{"id": {id}, "email": {"Seller@souk.example"}})
	require.NoError(t, err)
	read(t, response)
	require.Equal(t, http.StatusFound, response.StatusCode)
	location, err := response.Location()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(location.String(), redirectURI), location.String())
	require.Equal(t, "the-state", location.Query().Get("state"))

	_, err = rp.CodeExchange[*oidc.IDTokenClaims](t.Context(), location.Query().Get("code"), party,
		rp.WithCodeVerifier("wrong"))
	require.Error(t, err, "PKCE is checked")
	tokens, err := rp.CodeExchange[*oidc.IDTokenClaims](t.Context(), location.Query().Get("code"), party,
		rp.WithCodeVerifier(verifier))
	require.NoError(t, err)
	require.Equal(t, "seller@souk.example", tokens.IDTokenClaims.Email)
	c := verified(t, p, hc, tokens.AccessToken)
	require.Equal(t, []string{"seller"}, c.Roles)
	require.Equal(t, "Sam Seller", c.Name)
	require.True(t, c.EmailVerified)
	require.Equal(t, tokens.IDTokenClaims.Subject, c.Subject)

	info, err := rp.Userinfo[*oidc.UserInfo](t.Context(), tokens.AccessToken, "Bearer", c.Subject, party)
	require.NoError(t, err)
	require.Equal(t, "seller@souk.example", info.Email)

	_, err = rp.CodeExchange[*oidc.IDTokenClaims](t.Context(), location.Query().Get("code"), party,
		rp.WithCodeVerifier(verifier))
	require.Error(t, err, "a code is good once")

	fresh, err := rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, tokens.RefreshToken, "", "")
	require.NoError(t, err)
	refreshed := verified(t, p, hc, fresh.AccessToken)
	require.Equal(t, c.Subject, refreshed.Subject)
	require.WithinDuration(t, time.Now(), c.AuthTime.AsTime(), time.Minute)
	require.Equal(t, c.AuthTime, refreshed.AuthTime, "nobody has signed in again")
	_, err = rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, tokens.RefreshToken, "", "")
	require.Error(t, err, "a refresh token is good once")

	home := "http://127.0.0.1:9999/"
	away, err := rp.EndSession(t.Context(), party, tokens.IDToken, home, "", "", nil)
	require.NoError(t, err)
	require.Equal(t, home, away.String())
	_, err = rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, fresh.RefreshToken, "", "")
	require.Error(t, err, "the session is over")
}

func TestOtherHostsAreMisdirected(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Issuer()+oidc.DiscoveryEndpoint, http.NoBody)
	require.NoError(t, err)
	r.Host = "evil.example"
	response, err := browser(t, p.Issuer()).Do(r)
	require.NoError(t, err)
	read(t, response)
	require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode)
}

func TestSignInReturnsToLoopbackOnly(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	hc := browser(t, p.Issuer())
	challenge := oidc.NewSHACodeChallenge(verifier)
	for name, tc := range map[string]struct {
		redirect, challenge string
	}{
		"another host":         {"http://evil.example/auth/callback", challenge},
		"a host as a password": {"http://127.0.0.1:80@evil.example/auth/callback", challenge},
		"another path":         {"http://127.0.0.1:80/other", challenge},
		"no PKCE":              {redirectURI, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := url.Values{
				"client_id":     {oidcserver.ClientID},
				"response_type": {"code"},
				"scope":         {"openid"},
				"redirect_uri":  {tc.redirect},
				"state":         {"s"},
			}
			if tc.challenge != "" {
				q.Set("code_challenge", tc.challenge)
				q.Set("code_challenge_method", "S256")
			}
			response, err := hc.Get(p.Issuer() + "/authorize?" + q.Encode())
			require.NoError(t, err)
			body := read(t, response)
			if location := response.Header.Get("Location"); location != "" {
				require.True(t, strings.HasPrefix(location, redirectURI), location)
				require.Contains(t, location, "error=invalid_request")
				return
			}
			require.Equal(t, http.StatusBadRequest, response.StatusCode, body)
		})
	}
}

// RP-initiated logout by a client that has not kept an ID token.
func TestSignOutWithoutIDTokenReturnsToKnownSitesOnly(t *testing.T) {
	t.Parallel()
	p, err := oidcserver.Start(t.Context(),
		oidcserver.Options{Dir: t.TempDir(), RedirectURIs: []string{"http://192.0.2.7:8080/auth/callback"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Stop(context.Background())) })
	hc := browser(t, p.Issuer())
	for name, tc := range map[string]struct {
		back string
		want int
	}{
		"the site that is served":  {"http://192.0.2.7:8080/", http.StatusFound},
		"loopback":                 {"http://127.0.0.1:9999/", http.StatusFound},
		"loopback by name":         {"http://localhost:9999/", http.StatusFound},
		"another port of the site": {"http://192.0.2.7:9090/", http.StatusBadRequest},
		"another host":             {"http://evil.example/", http.StatusBadRequest},
		"a host as a password":     {"http://127.0.0.1:80@evil.example/", http.StatusBadRequest},
	} {
		q := url.Values{"client_id": {oidcserver.ClientID}, "post_logout_redirect_uri": {tc.back}}
		response, err := hc.Get(p.Issuer() + "/end_session?" + q.Encode())
		require.NoError(t, err)
		body := read(t, response)
		require.Equal(t, tc.want, response.StatusCode, "%s: %s", name, body)
		if tc.want == http.StatusFound {
			require.Equal(t, tc.back, response.Header.Get("Location"), name)
		}
	}
	response, err := hc.Get(p.Issuer() + "/end_session?client_id=" + oidcserver.ClientID)
	require.NoError(t, err)
	require.Contains(t, read(t, response), "You are signed out")
}

func TestTokenIsMadeForASecretAndStaysValidOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	hc := browser(t, p.Issuer())
	post := func(secret, body string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer()+"/dev/token",
			bytes.NewReader([]byte(body)))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+secret)
		response, err := hc.Do(r)
		require.NoError(t, err)
		return response, read(t, response)
	}

	response, body := post(p.Secret(), `{"email":"ana.maria@example.com","roles":["customer"],"ttl":"1h"}`)
	require.Equal(t, http.StatusOK, response.StatusCode, body)
	var answer struct{ AccessToken string }
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	c := verified(t, p, hc, answer.AccessToken)
	require.Equal(t, []string{"customer"}, c.Roles)
	require.Equal(t, "Ana Maria", c.Name)
	require.WithinDuration(t, c.IssuedAt.AsTime().Add(time.Hour), c.Expiration.AsTime(), time.Second)

	for name, tc := range map[string]struct {
		secret, body string
		want         int
	}{
		"wrong secret": {"guess", `{"email":"a@example.com"}`, http.StatusUnauthorized},
		"no secret":    {"", `{"email":"a@example.com"}`, http.StatusUnauthorized},
		"no e-mail":    {p.Secret(), `{}`, http.StatusBadRequest},
		"no JSON":      {p.Secret(), `x`, http.StatusBadRequest},
		"bad ttl":      {p.Secret(), `{"email":"a@example.com","ttl":"soon"}`, http.StatusBadRequest},
		"negative ttl": {p.Secret(), `{"email":"a@example.com","ttl":"-1h"}`, http.StatusBadRequest},
	} {
		response, body := post(tc.secret, tc.body)
		require.Equal(t, tc.want, response.StatusCode, "%s: %s", name, body)
	}

	_, err := p.Token(t.Context(), "Ana <ana@example.com>", nil, 0)
	require.Equal(t, errs.Invalid, errs.CodeOf(err))

	// A restart keeps the address, the key and the users.
	require.NoError(t, p.Stop(t.Context()))
	again := start(t, dir)
	require.Equal(t, p.Issuer(), again.Issuer())
	require.Equal(t, c.Subject, verified(t, again, hc, answer.AccessToken).Subject)
	token, err := again.Token(t.Context(), "ANA.maria@example.com", nil, 0)
	require.NoError(t, err)
	require.Equal(t, c.Subject, verified(t, again, hc, token).Subject)
	require.Equal(t, []string{"customer"}, verified(t, again, hc, token).Roles,
		"the user's own roles when none are asked for")
}

func mustSigned(t *testing.T, token string) *jose.JSONWebSignature {
	t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	require.NoError(t, err)
	return signed
}
