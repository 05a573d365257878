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
	// leeway is by how much the provider's clock and ours may differ.
	leeway = 30 * time.Second
	// maxToken bounds access tokens: what is longer is not even parsed.
	maxToken = 16 << 10
	// maxSubject is what OpenID Connect allows.
	maxSubject = 255
)

var joseAlgorithms = func() []jose.SignatureAlgorithm {
	out := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		out[i] = jose.SignatureAlgorithm(a)
	}
	return out
}()

// Verify returns whose access token it is. It fails with errs.Unauthenticated, whose message does not tell
// what is wrong with the token (the log does, at debug), with errs.Unavailable and errs.Timeout.
func (p *Provider) Verify(ctx context.Context, accessToken string) (domain.Access, error) {
	if len(accessToken) > maxToken || strings.Count(accessToken, ".") != 2 {
		return domain.Access{}, p.refused("not a JWT") // says so even while the provider does not answer
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
	if typ, ok := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string); ok {
		if typ = strings.TrimPrefix(strings.ToLower(typ), "application/"); typ != "jwt" && typ != "at+jwt" {
			return domain.Access{}, p.refused("another type of token")
		}
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
		return domain.Access{}, p.refused("expired")
	case c.NotBefore != 0 && now.Add(leeway).Before(c.NotBefore.AsTime()), c.IssuedAt != 0 && now.Add(leeway).Before(c.IssuedAt.AsTime()):
		return domain.Access{}, p.refused("not valid yet")
	case c.Subject == "" || len(c.Subject) > maxSubject:
		return domain.Access{}, p.refused("subject")
	case c.Nonce != "" || c.AccessTokenHash != "" || c.CodeHash != "":
		return domain.Access{}, p.refused("an ID token") // it goes to browsers and logs, and opens nothing
	}
	return domain.Access{Person: p.person(&c), Expires: expires}, nil
}

func (p *Provider) refused(reason string) error {
	p.o.Logger.Debug("an access token is refused", zap.String("reason", reason))
	return errs.New(errs.Unauthenticated, "this token is not valid here, or has expired: sign in again to get a new one")
}
