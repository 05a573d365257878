package credential

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
)

const (
	guestIssuer   = "souk"
	guestAudience = "souk-guest"
	guestType     = "souk-guest+jwt"
	// GuestLifetime is the lifetime of a guest token.
	GuestLifetime = 30 * 24 * time.Hour

	maxGuestToken = 1024
)

// Guests issues and verifies guest tokens: compact JWS with EdDSA only.
type Guests struct {
	signer jose.Signer
	public ed25519.PublicKey
	clock  clock.Clock
}

type guestClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// NewGuests returns Guests with a key derived from secret.
func NewGuests(secret []byte, c clock.Clock) (*Guests, error) {
	key, err := guestKey(secret)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key},
		(&jose.SignerOptions{}).WithType(guestType))
	if err != nil {
		return nil, fmt.Errorf("guest tokens: %w", err)
	}
	return &Guests{signer: signer, public: key.Public().(ed25519.PublicKey), clock: c}, nil
}

// Issue returns the token of a new guest.
func (g *Guests) Issue() (token string, expires time.Time, err error) {
	now := g.clock.Now()
	expires = now.Add(GuestLifetime).Truncate(time.Second)
	b, err := json.Marshal(guestClaims{
		Issuer:   guestIssuer,
		Audience: guestAudience,
		Subject:  id.New(id.Guest),
		IssuedAt: now.Unix(),
		Expires:  expires.Unix(),
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("guest token: %w", err)
	}
	jws, err := g.signer.Sign(b)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("guest token: %w", err)
	}
	if token, err = jws.CompactSerialize(); err != nil {
		return "", time.Time{}, fmt.Errorf("guest token: %w", err)
	}
	return token, expires, nil
}

// Claims reports whether token claims to be a guest token. It verifies nothing.
func (g *Guests) Claims(token string) bool {
	head, _, ok := strings.Cut(token, ".")
	if !ok || len(token) > maxGuestToken {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		Type string `json:"typ"`
	}
	return err == nil && json.Unmarshal(b, &header) == nil && header.Type == guestType
}

// Verify returns the guest in token and the token's end.
//
// Errors: unauthenticated.
func (g *Guests) Verify(token string) (guestID string, expires time.Time, err error) {
	refused := errs.New(errs.Unauthenticated,
		"this guest token is not valid here, or has expired: get a new one at /v1/guest, or sign in")
	if len(token) > maxGuestToken {
		return "", time.Time{}, refused
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return "", time.Time{}, refused
	}
	b, err := jws.Verify(g.public)
	if err != nil {
		return "", time.Time{}, refused
	}
	var c guestClaims
	if err := json.Unmarshal(b, &c); err != nil {
		return "", time.Time{}, refused
	}
	expires = time.Unix(c.Expires, 0).UTC()
	if c.Issuer != guestIssuer || c.Audience != guestAudience || !id.Valid(id.Guest, c.Subject) ||
		!g.clock.Now().Before(expires) {
		return "", time.Time{}, refused
	}
	return c.Subject, expires, nil
}
