package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"souk/apps/auth/internal/credential"
)

const (
	clientID     = "souk-web"
	clientSecret = "s3cret-of-the-client"
	audience     = "souk"
)

// provider is an OpenID provider that can be made to misbehave.
type provider struct {
	*httptest.Server
	t *testing.T

	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	ed     ed25519.PrivateKey
	hidden *rsa.PrivateKey // published once revealed

	keysAsked, userinfoAsked atomic.Int32
	down, noEndSession       atomic.Bool

	mu          sync.Mutex
	revealed    bool
	codes       map[string]url.Values // authorization requests by code
	idClaims    map[string]any        // override the claims of ID tokens
	userinfo    map[string]any
	tokenAnswer func(w http.ResponseWriter) bool
}

// rsaKeys are generated once, because that is slow.
var rsaKeys = sync.OnceValues(func() (keys [2]*rsa.PrivateKey, err error) {
	for i := range keys {
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

// newProvider starts a provider on a loopback port.
func newProvider(t *testing.T) *provider {
	p := &provider{t: t, codes: map[string]url.Values{}, userinfo: map[string]any{}, idClaims: map[string]any{}}
	rsa, err := rsaKeys()
	require.NoError(t, err)
	p.rsa, p.hidden = rsa[0], rsa[1]
	p.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, p.ed, err = ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /userinfo", p.serveUserinfo)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	document := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo", "end_session_endpoint": p.URL + "/end",
	}
	if p.noEndSession.Load() {
		delete(document, "end_session_endpoint")
	}
	writeJSON(w, document)
}

func (p *provider) keys(w http.ResponseWriter, _ *http.Request) {
	p.keysAsked.Add(1)
	set := []any{
		jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: p.ec.Public(), KeyID: "ec", Use: "sig"},
		jose.JSONWebKey{Key: p.ed.Public(), KeyID: "ed", Use: "sig"},
		map[string]any{"kty": "unheard-of"},
	}
	p.mu.Lock()
	if p.revealed {
		set = append(set, jose.JSONWebKey{Key: p.hidden.Public(), KeyID: "hidden", Use: "sig"})
	}
	p.mu.Unlock()
	writeJSON(w, map[string]any{"keys": set})
}

func (p *provider) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	p.userinfoAsked.Add(1)
	if r.Header.Get("Authorization") == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	writeJSON(w, p.userinfo)
}

// authorize acts as the provider's sign-in page: it returns the code and state of the redirect.
func (p *provider) authorize(authorizeURL string) (code, state string) {
	u, err := url.Parse(authorizeURL)
	require.NoError(p.t, err)
	q := u.Query()
	require.Equal(p.t, "code", q.Get("response_type"))
	require.Equal(p.t, clientID, q.Get("client_id"))
	require.Equal(p.t, "S256", q.Get("code_challenge_method"))
	require.NotEmpty(p.t, q.Get("code_challenge"))
	require.NotEmpty(p.t, q.Get("nonce"))
	code = credential.Random(16)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = q
	return code, q.Get("state")
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokenAnswer != nil && p.tokenAnswer(w) {
		return
	}
	if id, secret, _ := r.BasicAuth(); id != clientID || secret != clientSecret {
		w.WriteHeader(http.StatusUnauthorized)
		writeJSON(w, map[string]any{"error": "invalid_client"})
		return
	}
	q, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || r.FormValue("redirect_uri") != q.Get("redirect_uri") ||
		base64.RawURLEncoding.EncodeToString(challenge[:]) != q.Get("code_challenge") {
		w.WriteHeader(http.StatusBadRequest)
		writeJSON(w, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	id := map[string]any{
		"iss":            p.URL,
		"sub":            "sub-ann",
		"aud":            clientID,
		"exp":            now.Add(time.Hour).Unix(),
		"iat":            now.Unix(),
		"nonce":          q.Get("nonce"),
		"email":          "ann@example.com",
		"email_verified": true,
		"name":           "Ann",
		"roles":          []string{"seller"},
	}
	maps.Copy(id, p.idClaims)
	writeJSON(w, map[string]any{
		"token_type": "Bearer", "expires_in": 3600,
		"access_token": p.sign(p.rsaKey(), p.claims(now, nil)), "id_token": p.sign(p.rsaKey(), id),
	})
}

func (p *provider) rsaKey() jose.SigningKey {
	return jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.rsa, KeyID: "rsa"}}
}

// claims returns the claims of a valid access token with changes; a nil value removes a claim.
func (p *provider) claims(now time.Time, change map[string]any) map[string]any {
	c := map[string]any{
		"iss":   p.URL,
		"sub":   "sub-ann",
		"aud":   []string{audience, "other"},
		"iat":   now.Unix(),
		"exp":   now.Add(time.Hour).Unix(),
		"email": "ann@example.com",
		"name":  "Ann",
		"roles": []string{"seller"},
	}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (p *provider) sign(key jose.SigningKey, claims map[string]any) string {
	return p.signAs(key, "JWT", claims)
}

// signAs signs a token with the type in its header; "": none.
func (p *provider) signAs(key jose.SigningKey, typ jose.ContentType, claims map[string]any) string {
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(typ)
	}
	signer, err := jose.NewSigner(key, options)
	require.NoError(p.t, err)
	b, err := json.Marshal(claims)
	require.NoError(p.t, err)
	jws, err := signer.Sign(b)
	require.NoError(p.t, err)
	token, err := jws.CompactSerialize()
	require.NoError(p.t, err)
	return token
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
