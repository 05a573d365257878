// Package provider is the OpenID provider as auth sees it: where people sign in, and whose tokens they bring.
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
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
)

const (
	discoverEvery = time.Second // how often a provider that does not answer is asked
	idTokenSkew   = 5 * time.Second
	maxUserinfo   = 256 << 10
)

// algorithms are the signatures that count: asymmetric ones. So "none" and HMAC, with which a public key
// could pass for a secret, are refused before anything else is looked at.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Options describe the provider.
type Options struct {
	Issuer, ClientID, ClientSecret string
	// Audience is what access tokens must be meant for.
	Audience   string
	RolesClaim string
	Scopes     []string
	HTTP       *http.Client
	Clock      clock.Clock
	Logger     *zap.Logger
}

// Provider is an OpenID provider. What it must know about it, it asks when it is first needed.
type Provider struct {
	o      Options
	asking chan struct{} // held by who asks
	tried  time.Time     // guarded by asking
	failed error         // guarded by asking

	found atomic.Pointer[found]
}

// found is what discovery found.
type found struct {
	party rp.RelyingParty
	keys  *keySet
}

// Open returns the provider. Nothing is asked yet.
func Open(o Options) *Provider { return &Provider{o: o, asking: make(chan struct{}, 1)} }

type nonceKey struct{}

// discover returns what is known of the provider. It fails with errs.Unavailable and errs.Timeout.
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
	// It goes on when its caller gives up: others wait for it.
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
	if p.o.ClientSecret == "" || len(methods) > 0 && !slices.Contains(methods, oidc.AuthMethodBasic) {
		style = oauth2.AuthStyleInParams
	}
	keys := newKeySet(conf.JwksURI, p.o.HTTP, p.o.Clock, p.o.Logger)
	party, err := rp.NewRelyingPartyOIDC(ctx, p.o.Issuer, p.o.ClientID, p.o.ClientSecret, "", p.o.Scopes,
		rp.WithHTTPClient(p.o.HTTP), rp.WithAuthStyle(style),
		rp.WithVerifierOpts(
			rp.WithSupportedSigningAlgorithms(algorithms...),
			rp.WithIssuedAtOffset(idTokenSkew),
			rp.WithNonce(func(ctx context.Context) string { nonce, _ := ctx.Value(nonceKey{}).(string); return nonce }),
			func(v *rp.IDTokenVerifier) { v.KeySet = keys },
		))
	if err != nil {
		return nil, err
	}
	return &found{party: party, keys: keys}, nil
}

// AuthorizeURL returns where a browser goes to sign in. It fails with errs.Unavailable and errs.Timeout.
func (p *Provider) AuthorizeURL(ctx context.Context, l domain.Login) (string, error) {
	f, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return rp.AuthURL(l.State, f.party,
		rp.WithCodeChallenge(oidc.NewSHACodeChallenge(l.Verifier)),
		param("nonce", l.Nonce), param("redirect_uri", l.RedirectURI)), nil
}

func param(name, value string) rp.AuthURLOpt {
	return func() []oauth2.AuthCodeOption { return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam(name, value)} }
}

// Exchange turns the code with which a browser came back into whom the provider has signed in. It fails
// with errs.Unauthenticated when the provider or the ID token says no, with errs.Unavailable,
// errs.Timeout, and with errs.Internal when the provider does not know us.
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
		// The rest may stand in the access token or with the provider; without it sign-in works as well.
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
	refused := errs.New(errs.Unauthenticated, "the sign-in provider did not confirm this sign-in: begin again at /auth/login")
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
		// The answer itself may repeat what we sent: it is not logged.
		p.o.Logger.Error("the sign-in provider refuses client_id and client_secret", zap.String("code", retrieve.ErrorCode))
		return errs.New(errs.Internal, "the sign-in provider does not know this souk")
	case retrieve.Response != nil && (retrieve.Response.StatusCode >= 500 || retrieve.Response.StatusCode == http.StatusTooManyRequests):
		return unavailable(errors.New("the token endpoint answers " + retrieve.Response.Status))
	}
	return refused
}

// reason names what is wrong with an ID token. The error itself may hold parts of the token.
func reason(err error) string {
	for _, known := range []error{
		rp.ErrMissingIDToken, oidc.ErrParse, oidc.ErrIssuerInvalid, oidc.ErrSubjectMissing, oidc.ErrAudience, oidc.ErrAzpMissing, oidc.ErrAzpInvalid,
		oidc.ErrSignatureUnsupportedAlg, oidc.ErrSignatureMissing, oidc.ErrSignatureMultiple, oidc.ErrSignatureInvalidPayload, oidc.ErrSignatureInvalid,
		oidc.ErrExpired, oidc.ErrIatMissing, oidc.ErrIatInFuture, oidc.ErrNonceInvalid, oidc.ErrAtHash,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "not an ID token"
}

// Profile returns what the provider says about whom the access token belongs to, beyond what stands in
// the token; nothing, when the token is not good for that. It fails with errs.Unavailable and errs.Timeout.
func (p *Provider) Profile(ctx context.Context, accessToken, subject string) (domain.Person, error) {
	f, err := p.discover(ctx)
	if err != nil {
		return domain.Person{}, err
	}
	return p.userinfo(ctx, f, accessToken, subject)
}

func (p *Provider) userinfo(ctx context.Context, f *found, accessToken, subject string) (domain.Person, error) {
	nobody := domain.Person{Issuer: p.o.Issuer, Subject: subject, Roles: []string{domain.RoleCustomer}}
	endpoint := f.party.UserinfoEndpoint()
	if endpoint == "" {
		return nobody, nil
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
	if res.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(res.Body, maxUserinfo)).Decode(&info) != nil || info.Subject != subject {
		return nobody, nil
	}
	person := domain.Person{
		Issuer: p.o.Issuer, Subject: subject, Email: info.Email, EmailVerified: bool(info.EmailVerified), Name: name(info.UserInfoProfile),
	}
	person.Roles, person.RolesKnown = domain.Roles(info.Claims, p.o.RolesClaim)
	return person, nil
}

// EndSessionURL returns where a browser goes to end its session at the provider too, which sends it on to
// returnTo unless that is empty. It returns "" when there is no such place, or the provider cannot be found.
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
		Issuer: p.o.Issuer, Subject: c.Subject, Email: c.Email, EmailVerified: bool(c.EmailVerified), Name: name(c.UserInfoProfile),
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
