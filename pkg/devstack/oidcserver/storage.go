package oidcserver

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"souk/pkg/clock"
)

const (
	requestTTL = 30 * time.Minute
	refreshTTL = 30 * 24 * time.Hour
	// maxHeld is the most sign-ins in progress, and the most refresh tokens. Further sign-ins are refused; a
	// further refresh token replaces an arbitrary one.
	maxHeld = 10_000
)

// storage is op's storage. Sign-ins in progress and refresh tokens are in memory; everything else is in state.
type storage struct {
	state     *state
	clock     clock.Clock
	redirects []string
	homes     []string // URLs that sign-outs may return to

	mu       sync.Mutex
	requests map[string]*authRequest // by ID
	codes    map[string]string       // code to ID
	refresh  map[string]*grant
}

var (
	_ op.Storage                        = (*storage)(nil)
	_ op.CanSetUserinfoFromRequest      = (*storage)(nil)
	_ op.CanTerminateSessionFromRequest = (*storage)(nil)
)

func newStorage(s *state, o Options) *storage {
	return &storage{
		state:     s,
		clock:     o.Clock,
		redirects: o.RedirectURIs,
		homes:     homes(o.RedirectURIs),
		requests:  map[string]*authRequest{},
		codes:     map[string]string{},
		refresh:   map[string]*grant{},
	}
}

// grant holds the data that tokens are made from.
type grant struct {
	subject string
	scopes  []string
	// at is when the user signed in, and made when the refresh token was made.
	at, made time.Time
}

func (g *grant) GetAMR() []string            { return nil }
func (g *grant) GetAudience() []string       { return []string{Audience} }
func (g *grant) GetAuthTime() time.Time      { return g.at }
func (g *grant) GetClientID() string         { return ClientID }
func (g *grant) GetScopes() []string         { return g.scopes }
func (g *grant) GetSubject() string          { return g.subject }
func (g *grant) SetCurrentScopes(s []string) { g.scopes = s }

// authRequest is a sign-in in progress.
type authRequest struct {
	grant
	id      string
	request *oidc.AuthRequest
	created time.Time
	done    bool
}

func (a *authRequest) GetID() string                      { return a.id }
func (a *authRequest) GetACR() string                     { return "" }
func (a *authRequest) GetNonce() string                   { return a.request.Nonce }
func (a *authRequest) GetRedirectURI() string             { return a.request.RedirectURI }
func (a *authRequest) GetResponseType() oidc.ResponseType { return a.request.ResponseType }
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return a.request.ResponseMode }
func (a *authRequest) GetState() string                   { return a.request.State }
func (a *authRequest) Done() bool                         { return a.done }
func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if a.request.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: a.request.CodeChallenge, Method: a.request.CodeChallengeMethod}
}

func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE with S256 is required")
	}
	now := s.clock.Now()
	a := &authRequest{grant: grant{scopes: r.Scopes, at: now}, id: rand.Text(), request: r, created: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.requests {
		if now.Sub(old.created) > requestTTL {
			s.forgetLocked(id)
		}
	}
	if len(s.requests) >= maxHeld {
		return nil, oidc.ErrServerError().WithDescription("too many sign-ins under way")
	}
	s.requests[a.id] = a
	return a, nil
}

func (s *storage) forgetLocked(id string) {
	delete(s.requests, id)
	for code, of := range s.codes {
		if of == id {
			delete(s.codes, code)
		}
	}
}

var errNoRequest = errors.New("this sign-in is over; start it again")

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.requests[id]
	if !ok || s.clock.Now().Sub(a.created) > requestTTL {
		return nil, errNoRequest
	}
	snapshot := *a
	return &snapshot, nil
}

func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id, ok := s.codes[code]
	s.mu.Unlock()
	if !ok {
		return nil, errNoRequest
	}
	return s.AuthRequestByID(ctx, id)
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(id)
	return nil
}

// signIn sets the user of a sign-in.
func (s *storage) signIn(id, email string) error {
	u, err := s.state.user(email, "", nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.requests[id]
	if !ok {
		return errNoRequest
	}
	a.subject, a.at, a.done = u.subject(), s.clock.Now(), true
	return nil
}

func (s *storage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string, time.Time, error) {
	now := s.clock.Now()
	u, ok := s.state.bySubject(r.GetSubject())
	if !ok {
		return "", time.Time{}, errors.New("no such user")
	}
	token, err := s.accessToken(op.IssuerFromContext(ctx), u, now, signedInAt(r), now.Add(defaultTTL))
	return token, now.Add(defaultTTL), err
}

func signedInAt(r op.TokenRequest) time.Time {
	if known, ok := r.(interface{ GetAuthTime() time.Time }); ok {
		return known.GetAuthTime()
	}
	return time.Time{}
}

func (s *storage) CreateAccessAndRefreshTokens(
	ctx context.Context, r op.TokenRequest, current string,
) (string, string, time.Time, error) {
	now := s.clock.Now()
	access, expires, err := s.CreateAccessToken(ctx, r)
	if err != nil {
		return "", "", time.Time{}, err
	}
	next := rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if current != "" {
		if _, ok := s.refresh[current]; !ok { // it has been used already
			return "", "", time.Time{}, op.ErrInvalidRefreshToken
		}
		delete(s.refresh, current)
	}
	for token, g := range s.refresh {
		if now.Sub(g.made) > refreshTTL || len(s.refresh) >= maxHeld {
			delete(s.refresh, token)
		}
	}
	s.refresh[next] = &grant{
		subject: r.GetSubject(), scopes: slices.Clone(r.GetScopes()), at: signedInAt(r), made: now,
	}
	return access, next, expires, nil
}

func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.refresh[token]
	if !ok || s.clock.Now().Sub(g.made) > refreshTTL {
		return nil, op.ErrInvalidRefreshToken
	}
	snapshot := *g
	return &snapshot, nil
}

func (s *storage) TerminateSession(_ context.Context, userID, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, g := range s.refresh {
		if g.subject == userID {
			delete(s.refresh, token)
		}
	}
	return nil
}

func (s *storage) TerminateSessionFromRequest(ctx context.Context, r *op.EndSessionRequest) (string, error) {
	redirect := r.RedirectURI
	if redirect == "" {
		redirect = "/login"
	}
	return redirect, s.TerminateSession(ctx, r.UserID, r.ClientID)
}

func (s *storage) RevokeToken(_ context.Context, token, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refresh, token) // an access token is a JWT and stays valid until it expires
	return nil
}

func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.refresh[token]
	if !ok {
		return "", "", op.ErrInvalidRefreshToken
	}
	return g.subject, token, nil
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.state.key, nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{s.state.key}}, nil
}

func (s *storage) GetClientByClientID(ctx context.Context, clientID string) (op.Client, error) {
	if clientID != ClientID {
		return nil, errors.New("no such client")
	}
	c := &client{redirects: s.redirects, logouts: s.homes}
	if target, ok := ctx.Value(logoutKey{}).(string); ok {
		c.logouts = []string{target}
	}
	return c, nil
}

// homes returns the home pages of the sites that sign-ins return to.
func homes(redirects []string) []string {
	var out []string
	for _, r := range redirects {
		if u, err := url.Parse(r); err == nil && u.Host != "" {
			out = append(out, u.Scheme+"://"+u.Host+"/")
		}
	}
	return out
}

func (s *storage) AuthorizeClientIDSecret(context.Context, string, string) error {
	return errors.New("the client is public and has no secret")
}

func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (s *storage) SetUserinfoFromRequest(
	_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, _ []string,
) error {
	return s.fill(info, r.GetSubject())
}

func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, _, sub, _ string) error {
	return s.fill(info, sub)
}

func (s *storage) fill(info *oidc.UserInfo, sub string) error {
	u, ok := s.state.bySubject(sub)
	if !ok {
		return errors.New("no such user")
	}
	userInfo(info, u)
	return nil
}

func (s *storage) SetIntrospectionFromToken(
	context.Context, *oidc.IntrospectionResponse, string, string, string,
) error {
	return errors.New("introspection is not offered: access tokens are JWTs")
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, errors.New("access tokens are made by accessToken")
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errors.New("the client has no key")
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errors.New("the JWT profile is not offered")
}

func (s *storage) Health(context.Context) error { return nil }

// client is souk's web application. It is a public client, so that it must use PKCE.
type client struct {
	redirects []string
	logouts   []string
}

func (c *client) GetID() string                       { return ClientID }
func (c *client) RedirectURIs() []string              { return c.redirects }
func (c *client) PostLogoutRedirectURIs() []string    { return c.logouts }
func (c *client) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative } // any loopback port
func (c *client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (c *client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *client) LoginURL(id string) string            { return "/login?id=" + id }
func (c *client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer } // see jwtCrypto
func (c *client) IDTokenLifetime() time.Duration       { return defaultTTL }
func (c *client) DevMode() bool                        { return false }
func (c *client) IsScopeAllowed(string) bool           { return false }
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c *client) ClockSkew() time.Duration             { return 0 }
func (c *client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}

func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string     { return all }
func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return all }

func all(scopes []string) []string { return scopes }
