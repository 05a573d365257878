package provider

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"go.uber.org/zap"

	"souk/apps/auth/internal/domain"
	"souk/pkg/errs"
)

const (
	// leeway is the largest difference between the provider's clock and ours.
	leeway = 30 * time.Second
	// maxToken is the largest access token, in bytes; a longer one is not parsed.
	maxToken = 16 << 10
	// maxSubject is the limit of OpenID Connect.
	maxSubject = 255
)

var joseAlgorithms = func() []jose.SignatureAlgorithm {
	out := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		out[i] = jose.SignatureAlgorithm(a)
	}
	return out
}()

const refusedText = "this token is not valid here, or has expired: sign in again to get a new one"

// Verify returns the owner and end of an access token. The error does not say what is wrong with the token, unless it is
// an ID token; the log does, at debug level.
//
// Errors: unauthenticated, unavailable, timeout.
func (p *Provider) Verify(ctx context.Context, accessToken string) (domain.Access, error) {
	if len(accessToken) > maxToken || strings.Count(accessToken, ".") != 2 {
		return domain.Access{}, p.refused("not a JWT") // refused even while the provider is down
	}
	f, err := p.discover(ctx)
	if err != nil {
		return domain.Access{}, err
	}
	return p.verify(ctx, f, accessToken)
}

func (p *Provider) verify(ctx context.Context, f *found, accessToken string) (domain.Access, error) {
	if len(accessToken) > maxToken {
		return domain.Access{}, p.refused("too long")
	}
	jws, err := jose.ParseSignedCompact(accessToken, joseAlgorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return domain.Access{}, p.refused("not a JWT with an accepted algorithm")
	}
	typ, _ := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
	if typ = strings.TrimPrefix(strings.ToLower(typ), "application/"); typ != "" && typ != "jwt" && typ != "at+jwt" {
		return domain.Access{}, p.refused("another type of token")
	}
	payload, err := f.keys.VerifySignature(ctx, jws)
	if err != nil {
		if known := (*errs.Error)(nil); errors.As(err, &known) {
			return domain.Access{}, known
		}
		return domain.Access{}, p.refused("signature")
	}
	var c oidc.IDTokenClaims // the claims of access tokens are among these
	if err := json.Unmarshal(payload, &c); err != nil {
		return domain.Access{}, p.refused("claims")
	}
	now := p.o.Clock.Now()
	expires := c.Expiration.AsTime()
	switch {
	case c.Issuer != p.o.Issuer:
		return domain.Access{}, p.refused("issuer")
	case !slices.Contains(c.Audience, p.o.Audience):
		return domain.Access{}, p.refused("audience")
	case c.Expiration == 0 || !now.Before(expires.Add(leeway)):
		p.log("expired")
		return domain.Access{}, errs.Wrap(domain.ErrExpired, errs.Unauthenticated, refusedText)
	case c.NotBefore != 0 && now.Add(leeway).Before(c.NotBefore.AsTime()),
		c.IssuedAt != 0 && now.Add(leeway).Before(c.IssuedAt.AsTime()):
		return domain.Access{}, p.refused("not valid yet")
	case c.Subject == "" || len(c.Subject) > maxSubject:
		return domain.Access{}, p.refused("subject")
	case typ != "at+jwt" && p.isIDToken(&c):
		p.log("an ID token")
		return domain.Access{}, errs.New(errs.Unauthenticated,
			"this is an ID token, which says who somebody is and grants nothing: sign in, and send the access token")
	}
	return domain.Access{Person: p.person(&c), Expires: expires}, nil
}

// isIDToken reports whether the claims can be those of an ID token. ID tokens end up in browsers and logs, so they grant
// nothing. Their audience is the client, and an access token's is an API (RFC 9068), perhaps beside the client.
func (p *Provider) isIDToken(c *oidc.IDTokenClaims) bool {
	return c.Nonce != "" || c.AccessTokenHash != "" || c.CodeHash != "" ||
		!slices.ContainsFunc(c.Audience, func(a string) bool { return a != p.o.ClientID })
}

func (p *Provider) refused(reason string) error {
	p.log(reason)
	return errs.New(errs.Unauthenticated, refusedText)
}

func (p *Provider) log(reason string) {
	p.o.Logger.Debug("an access token is refused", zap.String("reason", reason))
}
