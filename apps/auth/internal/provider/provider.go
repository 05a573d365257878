// Package provider is the client of the OpenID provider: it sends browsers there to sign in and verifies its
// tokens.
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"souk/apps/auth/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/permission"
	"souk/pkg/secrets"
)

const (
	discoverEvery = time.Second // the shortest time between two attempts of discovery
	idTokenSkew   = 5 * time.Second
	maxUserinfo   = 256 << 10
)

// algorithms are the accepted signature algorithms, all asymmetric. So "none" and HMAC, with which a public
// key could be used as a secret, are refused before anything else is checked.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Options describe the provider.
type Options struct {
	Issuer, ClientID string
	// ClientSecret is souk's secret at the provider. Unset: souk is a public client.
	ClientSecret secrets.Value
	// Audience is the required audience of access tokens.
	Audience   string
	RolesClaim string
	Scopes     []string
	HTTP       *http.Client
	Clock      clock.Clock
	Logger     *zap.Logger
}

// Provider is an OpenID provider. It is discovered when it is first needed.
type Provider struct {
	o      Options
	asking chan struct{} // a lock, held during discovery
	tried  time.Time     // guarded by asking
	failed error         // guarded by asking

	found atomic.Pointer[found]
}

// found is the result of discovery.
type found struct {
	party rp.RelyingParty
	keys  *keySet
}

// party is a relying party with the client secret of now.
type party struct {
	rp.RelyingParty
	secret secrets.Value
}

// OAuthConfig returns how souk is known to the provider.
func (p party) OAuthConfig() *oauth2.Config {
	c := *p.RelyingParty.OAuthConfig()
	c.ClientSecret = p.secret.Get()
	return &c
}

// New returns the provider. It does not call it yet.
func New(o Options) *Provider { return &Provider{o: o, asking: make(chan struct{}, 1)} }

type nonceKey struct{}

// discover returns the result of discovery.
//
// Errors: unavailable, timeout.
func (p *Provider) discover(ctx context.Context) (*found, error) {
	if f := p.found.Load(); f != nil {
		return f, nil
	}
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, errs.Wrap(ctx.Err(), errs.Timeout, "the sign-in provider did not answer in time")
	}
	if f := p.found.Load(); f != nil {
		return f, nil
	}
	now := p.o.Clock.Now()
	if p.failed != nil && now.Sub(p.tried) < discoverEvery {
		return nil, p.failed
	}
	// Discovery outlives its caller: other callers wait for it.
	askCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	f, err := p.ask(askCtx)
	if err != nil {
		p.tried, p.failed = now, unavailable(err)
		p.o.Logger.Warn("the sign-in provider cannot be found", zap.String("issuer", p.o.Issuer), zap.Error(err))
		return nil, p.failed
	}
	p.found.Store(f)
	return f, nil
}

func (p *Provider) ask(ctx context.Context) (*found, error) {
	conf, err := client.Discover(ctx, p.o.Issuer, p.o.HTTP)
	if err != nil {
		return nil, err
	}
	style := oauth2.AuthStyleInHeader
	methods := conf.TokenEndpointAuthMethodsSupported
	if !p.o.ClientSecret.IsSet() || len(methods) > 0 && !slices.Contains(methods, oidc.AuthMethodBasic) {
		style = oauth2.AuthStyleInParams
	}
	keys := newKeySet(conf.JwksURI, p.o.HTTP, p.o.Clock, p.o.Logger)
	relying, err := rp.NewRelyingPartyOIDC(ctx, p.o.Issuer, p.o.ClientID, "", "", p.o.Scopes,
		rp.WithHTTPClient(p.o.HTTP), rp.WithAuthStyle(style),
		rp.WithVerifierOpts(rp.WithSupportedSigningAlgorithms(algorithms...), rp.WithIssuedAtOffset(idTokenSkew),
			rp.WithNonce(func(ctx context.Context) string { nonce, _ := ctx.Value(nonceKey{}).(string); return nonce }),
			func(v *rp.IDTokenVerifier) { v.KeySet = keys }))
	if err != nil {
		return nil, err
	}
	return &found{party: party{relying, p.o.ClientSecret}, keys: keys}, nil
}

// AuthorizeURL returns the URL to which a browser goes to sign in.
//
// Errors: unavailable, timeout.
func (p *Provider) AuthorizeURL(ctx context.Context, l domain.Login) (string, error) {
	f, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []rp.AuthURLOpt{
		rp.WithCodeChallenge(oidc.NewSHACodeChallenge(l.Verifier)),
		param("nonce", l.Nonce), param("redirect_uri", l.RedirectURI),
	}
	if l.MaxAge > 0 {
		options = append(options, param("max_age", strconv.FormatInt(l.MaxAge, 10)))
	}
	if l.Again {
		options = append(options, param("prompt", "login"))
	}
	return rp.AuthURL(l.State, f.party, options...), nil
}

func param(name, value string) rp.AuthURLOpt {
	return func() []oauth2.AuthCodeOption { return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam(name, value)} }
}

// Exchange exchanges the code that a browser brought back for the person that the provider has signed in.
//
// Errors: unauthenticated (the provider refuses or the ID token is invalid), unavailable, timeout, internal
// (the provider does not accept our client ID and secret).
func (p *Provider) Exchange(ctx context.Context, l domain.Login, code string) (domain.Person, error) {
	f, err := p.discover(ctx)
	if err != nil {
		return domain.Person{}, err
	}
	ctx = context.WithValue(ctx, nonceKey{}, l.Nonce)
	tokens, err := rp.CodeExchange[*oidc.IDTokenClaims](ctx, code, f.party,
		rp.WithCodeVerifier(l.Verifier), rp.CodeExchangeOpt(param("redirect_uri", l.RedirectURI)))
	if err != nil {
		return domain.Person{}, p.exchangeError(err)
	}
	person := p.person(tokens.IDTokenClaims)
	if person.Email == "" || !person.RolesKnown {
		// The access token or the provider may say more. Sign-in works without it.
		if access, err := p.verify(ctx, f, tokens.AccessToken); err == nil && access.Subject == person.Subject {
			person.Complete(access.Person)
		}
	}
	if person.Email == "" || !person.RolesKnown {
		more, err := p.userinfo(ctx, f, tokens.AccessToken, person.Subject)
		if err != nil {
			return domain.Person{}, err
		}
		person.Complete(more)
	}
	return person, nil
}

func (p *Provider) exchangeError(err error) error {
	if known := (*errs.Error)(nil); errors.As(err, &known) {
		return known
	}
	refused := errs.New(errs.Unauthenticated,
		"the sign-in provider did not confirm this sign-in: begin again at /auth/login")
	var retrieve *oauth2.RetrieveError
	if !errors.As(err, &retrieve) {
		var u *url.Error
		if errors.As(err, &u) {
			return unavailable(err)
		}
		p.o.Logger.Warn("the sign-in provider's answer is refused", zap.String("reason", reason(err)))
		return refused
	}
	switch {
	case retrieve.ErrorCode == "invalid_client" || retrieve.ErrorCode == "unauthorized_client":
		// The answer is not logged: it may repeat what we sent.
		p.o.Logger.Error("the sign-in provider refuses client_id and client_secret",
			zap.String("code", retrieve.ErrorCode))
		return errs.New(errs.Internal, "the sign-in provider does not know this souk")
	case retrieve.Response == nil:
		return refused
	}
	res := retrieve.Response
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
		return unavailable(errors.New("the token endpoint answers " + res.Status))
	}
	return refused
}

// reason names what is wrong with an ID token. The error itself may hold parts of the token.
func reason(err error) string {
	for _, known := range []error{
		rp.ErrMissingIDToken, oidc.ErrParse, oidc.ErrIssuerInvalid, oidc.ErrSubjectMissing,
		oidc.ErrAudience, oidc.ErrAzpMissing, oidc.ErrAzpInvalid,
		oidc.ErrSignatureUnsupportedAlg, oidc.ErrSignatureMissing, oidc.ErrSignatureMultiple,
		oidc.ErrSignatureInvalidPayload, oidc.ErrSignatureInvalid,
		oidc.ErrExpired, oidc.ErrIatMissing, oidc.ErrIatInFuture, oidc.ErrNonceInvalid, oidc.ErrAtHash,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "not an ID token"
}

// Profile returns what the provider says about the access token's owner beyond the token's claims; nothing if
// the token does not allow it.
//
// Errors: unavailable, timeout.
func (p *Provider) Profile(ctx context.Context, accessToken, subject string) (domain.Person, error) {
	f, err := p.discover(ctx)
	if err != nil {
		return domain.Person{}, err
	}
	return p.userinfo(ctx, f, accessToken, subject)
}

func (p *Provider) userinfo(ctx context.Context, f *found, accessToken, subject string) (domain.Person, error) {
	unknown := domain.Person{Issuer: p.o.Issuer, Subject: subject, Roles: []string{permission.RoleCustomer}}
	endpoint := f.party.UserinfoEndpoint()
	if endpoint == "" {
		return unknown, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return domain.Person{}, unavailable(err)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	res, err := p.o.HTTP.Do(req)
	if err != nil {
		return domain.Person{}, unavailable(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
		return domain.Person{}, unavailable(errors.New("the userinfo endpoint answers " + res.Status))
	}
	var info oidc.UserInfo
	if res.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(res.Body, maxUserinfo)).Decode(&info) != nil ||
		info.Subject != subject {
		return unknown, nil
	}
	person := domain.Person{
		Issuer:        p.o.Issuer,
		Subject:       subject,
		Email:         info.Email,
		EmailVerified: bool(info.EmailVerified),
		Name:          name(info.UserInfoProfile),
		IssuedAt:      p.o.Clock.Now().Truncate(time.Second), // as in tokens
	}
	person.Roles, person.RolesKnown = domain.Roles(info.Claims, p.o.RolesClaim)
	return person, nil
}

// EndSessionURL returns the URL at which a browser ends its session at the provider. The provider sends it on
// to returnTo unless that is empty. EndSessionURL returns "" if the provider has no such endpoint or cannot
// be discovered.
func (p *Provider) EndSessionURL(ctx context.Context, returnTo string) string {
	f, err := p.discover(ctx)
	if err != nil || f.party.GetEndSessionEndpoint() == "" {
		return ""
	}
	u, err := url.Parse(f.party.GetEndSessionEndpoint())
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", p.o.ClientID)
	if returnTo != "" {
		q.Set("post_logout_redirect_uri", returnTo)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func (p *Provider) person(c *oidc.IDTokenClaims) domain.Person {
	person := domain.Person{
		Issuer:        p.o.Issuer,
		Subject:       c.Subject,
		Email:         c.Email,
		EmailVerified: bool(c.EmailVerified),
		Name:          name(c.UserInfoProfile),
	}
	if c.IssuedAt != 0 {
		person.IssuedAt = c.IssuedAt.AsTime()
	}
	if c.AuthTime != 0 {
		person.AuthTime = c.AuthTime.AsTime()
	}
	person.Roles, person.RolesKnown = domain.Roles(c.Claims, p.o.RolesClaim)
	return person
}

func name(p oidc.UserInfoProfile) string {
	if p.Name != "" {
		return p.Name
	}
	return strings.TrimSpace(p.GivenName + " " + p.FamilyName)
}
