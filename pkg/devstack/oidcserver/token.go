package oidcserver

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/crypto"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// accessTokenType is the type in the header of access tokens (RFC 9068). The library gives its own the type JWT, which
// ID tokens have, too.
const accessTokenType = "at+jwt"

// accessToken makes an access token of a user who signed in at the time signedIn.
func (s *storage) accessToken(issuer string, u User, now, signedIn, expires time.Time) (string, error) {
	claims := map[string]any{
		"iss": issuer, "sub": u.subject(), "aud": []string{Audience}, "client_id": ClientID, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(),
	}
	if !signedIn.IsZero() {
		claims["auth_time"] = signedIn.Unix()
	}
	for k, v := range u.claims() {
		claims[k] = v
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{
			Algorithm: s.state.key.SignatureAlgorithm(),
			Key:       jose.JSONWebKey{Key: s.state.key.Key(), KeyID: s.state.key.ID()},
		},
		(&jose.SignerOptions{}).WithType(accessTokenType),
	)
	if err != nil {
		return "", fmt.Errorf("oidc: sign: %w", err)
	}
	token, err := crypto.Sign(claims, signer)
	if err != nil {
		return "", fmt.Errorf("oidc: sign: %w", err)
	}
	return token, nil
}

// jwtCrypto encrypts codes. The library makes opaque access tokens by encrypting "ID:subject"; the IDs that storage
// gives are access tokens already, and stay as they are.
type jwtCrypto struct{ op.Crypto }

// Encrypt encrypts a code, or returns an access token.
func (c jwtCrypto) Encrypt(s string) (string, error) {
	if token, _, found := strings.Cut(s, ":"); found && strings.Count(token, ".") == 2 {
		return token, nil
	}
	return c.Crypto.Encrypt(s)
}
