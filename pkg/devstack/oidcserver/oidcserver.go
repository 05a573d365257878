// Package oidcserver is the OpenID provider of `souk dev`. Anyone can sign in as any user, without a password.
//
// With it, development and tests use the same flow as production: authorization code with PKCE, JWKS, userinfo,
// end of session. Access tokens are JWTs (RFC 9068) for the audience "souk" with the claims sub, email, email_verified,
// name, roles and auth_time. The provider saves its signing key, port and users, so that tokens stay valid over a restart. It
// answers requests for loopback addresses only and is not for use outside of development.
package oidcserver

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/loopback"
)

const (
	// ClientID is the only client, a public one with PKCE.
	ClientID = "souk-web"
	// Audience is the audience of access tokens.
	Audience = "souk"

	defaultTTL = 12 * time.Hour
	maxTTL     = 365 * 24 * time.Hour
)

// Options set where the provider keeps its state, and which clients and users it knows.
type Options struct {
	// Dir holds the signing key and the users. Required.
	Dir string
	// Port is the loopback port. Zero means the port of the last start if it is free, or any free port.
	Port int
	// Listen is an address to listen on instead, host:port, for a container whose port is published on loopback. It
	// needs Issuer.
	Listen string
	// Issuer is the URL at which clients reach the provider, on loopback. Empty means the address that it listens on.
	Issuer string
	// RedirectURIs are the URIs that a sign-in may return to. One on a loopback host is valid for every port.
	// Empty means /auth/callback on loopback. A sign-out may return to the / of these sites, and to loopback.
	RedirectURIs []string
	// TokenSecret protects POST /dev/token. Empty means a random one, see Secret.
	TokenSecret string
	// DemoUsers are offered on the login page.
	DemoUsers []User
	// Clock gives the time of sign-ins and of tokens made by Token. Nil means the system's clock.
	Clock clock.Clock
}

// User is a user who can sign in.
type User struct {
	// Email identifies the user. Upper and lower case are not distinguished.
	Email string `json:"email"`
	// Name is shown. If empty, it is derived from the e-mail address.
	Name string `json:"name"`
	// Roles are the roles in the user's tokens: customer, seller, operator.
	Roles []string `json:"roles"`
}

// Provider is a running OpenID provider.
type Provider struct {
	issuer   string
	secret   string
	storage  *storage
	provider *op.Provider
	http     *http.Server
	served   chan struct{}

	stopOnce sync.Once
	stopErr  error
}

// Start starts the provider. It listens when Start returns.
func Start(ctx context.Context, o Options) (*Provider, error) {
	p, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	return p, nil
}

func start(ctx context.Context, o Options) (*Provider, error) {
	if o.Dir == "" {
		return nil, errors.New("a data directory is required")
	}
	if err := o.checkIssuer(); err != nil {
		return nil, err
	}
	if o.TokenSecret == "" {
		o.TokenSecret = rand.Text()
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if len(o.RedirectURIs) == 0 {
		o.RedirectURIs = []string{"http://127.0.0.1/auth/callback", "http://localhost/auth/callback"}
	}
	state, err := openState(o.Dir)
	if err != nil {
		return nil, err
	}
	for _, u := range o.DemoUsers {
		if _, err := state.user(u.Email, u.Name, u.Roles); err != nil {
			return nil, err
		}
	}
	listener, err := o.listen(ctx, state)
	if err != nil {
		return nil, err
	}
	p := &Provider{
		issuer: cmp.Or(o.Issuer, "http://"+listener.Addr().String()),
		secret: o.TokenSecret,
		served: make(chan struct{}),
	}
	p.storage = newStorage(state, o)
	config := &op.Config{
		CodeMethodS256:        true,
		GrantTypeRefreshToken: true,
		SupportedScopes:       []string{"openid", "profile", "email", "offline_access"},
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	p.provider, err = op.NewProvider(config, p.storage, op.StaticIssuer(p.issuer), op.WithAllowInsecure(),
		op.WithCrypto(jwtCrypto{op.NewAES256GCMCrypto(key, "")}))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	p.http = &http.Server{
		Handler:           loopback.Only(p.routes(o.DemoUsers)),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(p.served)
		_ = p.http.Serve(listener) // returns an error because of Stop
	}()
	return p, nil
}

// checkIssuer fails unless Issuer goes with Listen, and is a URL on loopback.
func (o Options) checkIssuer() error {
	if o.Issuer == "" && o.Listen == "" {
		return nil
	}
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Scheme != "http" || !loopback.Host(u.Host) || u.Path != "" || u.RawQuery != "" {
		return fmt.Errorf("the issuer is a URL on loopback such as http://127.0.0.1:8090, not %q", o.Issuer)
	}
	return nil
}

// listen opens the listener, and saves its port if the provider chose it.
func (o Options) listen(ctx context.Context, s *state) (net.Listener, error) {
	if o.Listen != "" {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	}
	listener, port, err := listen(ctx, o.Port, s.port())
	if err != nil {
		return nil, err
	}
	if err := s.setPort(port); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

func listen(ctx context.Context, wanted, last int) (net.Listener, int, error) {
	ports := []int{wanted}
	if wanted == 0 && last != 0 {
		ports = []int{last, 0}
	}
	var err error
	for _, port := range ports {
		var l net.Listener
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, 0, errors.Join(errors.New("not a TCP address"), l.Close())
		}
		return l, addr.Port, nil
	}
	return nil, 0, err
}

func (p *Provider) routes(demo []User) http.Handler {
	mux := http.NewServeMux()
	issued := op.NewIssuerInterceptor(p.provider.IssuerFromRequest)
	mux.Handle("/login",
		issued.Handler(&loginPage{storage: p.storage, demo: demo, callback: op.AuthCallbackURL(p.provider)}))
	mux.HandleFunc("POST /dev/token", p.serveToken)
	mux.Handle("/end_session", loopbackLogout(p.provider))
	mux.Handle("/", p.provider)
	return mux
}

// Issuer returns the provider's URL, which clients use for discovery.
func (p *Provider) Issuer() string { return p.issuer }

// Secret returns the bearer token of POST /dev/token.
func (p *Provider) Secret() string { return p.secret }

// Token makes an access token, and creates the user on first use. It adds roles to the user's, but the token has
// only the given ones. Without roles, the token has the user's. A ttl of zero means 12 h.
//
// Errors: invalid_argument (the e-mail address is invalid, or the ttl is negative or more than a year).
func (p *Provider) Token(_ context.Context, email string, roles []string, ttl time.Duration) (string, error) {
	if ttl == 0 {
		ttl = defaultTTL
	}
	if ttl < 0 || ttl > maxTTL {
		return "", errs.InvalidField("ttl", "must be positive and at most a year")
	}
	u, err := p.storage.state.user(email, "", roles)
	if err != nil {
		return "", err
	}
	if len(roles) > 0 {
		u.Roles = roles
	}
	now := p.storage.clock.Now()
	return p.storage.accessToken(p.issuer, u, now, now, now.Add(ttl))
}

// serveToken answers {email, roles[], ttl} ("1h30m", optional) with {accessToken}.
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(secret), []byte(p.secret)) != 1 {
		http.Error(w, "the secret is missing or wrong", http.StatusUnauthorized)
		return
	}
	var body struct {
		Email string   `json:"email"`
		Roles []string `json:"roles"`
		TTL   string   `json:"ttl"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&body); err != nil {
		http.Error(w, "the body must be {email, roles[], ttl}", http.StatusBadRequest)
		return
	}
	var ttl time.Duration
	if body.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(body.TTL); err != nil {
			http.Error(w, "ttl must look like 90m", http.StatusBadRequest)
			return
		}
	}
	token, err := p.Token(r.Context(), body.Email, body.Roles, ttl)
	if err != nil {
		e := errs.From(err)
		http.Error(w, e.Message, e.Code.HTTPStatus())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"accessToken": token}) // an error means that the client has gone
}

// Stop ends the provider once it has answered the requests in flight. If ctx ends first, it cuts them off. It may
// be called twice.
func (p *Provider) Stop(ctx context.Context) error {
	p.stopOnce.Do(func() {
		if err := p.http.Shutdown(ctx); err != nil {
			p.stopErr = errors.Join(fmt.Errorf("oidc: stop: %w", err), p.http.Close())
		}
		<-p.served
	})
	return p.stopErr
}

type logoutKey struct{}

// loopbackLogout lets a logout return to any loopback address. The library supports only exact addresses and
// globs, and a glob for a port would match other hosts too.
func loopbackLogout(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		target := r.FormValue("post_logout_redirect_uri")
		if u, err := url.Parse(target); err == nil && target != "" && u.Scheme == "http" && u.User == nil &&
			loopback.Host(u.Host) {
			r = r.WithContext(context.WithValue(r.Context(), logoutKey{}, target))
		}
		next.ServeHTTP(w, r)
	})
}

func validEmail(email string) (string, error) {
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != strings.TrimSpace(email) || len(email) > 254 {
		return "", errs.InvalidField("email", "must be an e-mail address")
	}
	return strings.ToLower(a.Address), nil
}

func userInfo(info *oidc.UserInfo, u User) {
	info.Subject, info.Name = u.subject(), u.Name
	info.Email, info.EmailVerified = u.Email, true
	info.AppendClaims("roles", u.Roles)
}
