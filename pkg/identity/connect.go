package identity

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"souk/pkg/clock"
	"souk/pkg/errs"
)

const (
	connectAudience = "souk-nats"
	// connectTTL is how long a token for a connection is valid. A process signs a new one for each attempt to connect.
	connectTTL = time.Minute
	// maxConnectToken is the maximum length of such a token in bytes. It has a signature of each service.
	maxConnectToken = 16 << 10
)

type connectClaims struct {
	Audience string   `json:"aud"`
	Services []string `json:"services"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
}

// ConnectToken returns a token with which a process connects to NATS as the services that it runs. It is a JWS in the
// general JSON serialization (RFC 7515, section 7.2.1), signed by each of these services.
//
// Errors: internal (a key cannot sign).
func ConnectToken(keys map[string]ed25519.PrivateKey, c clock.Clock) (string, error) {
	now := c.Now()
	claims := connectClaims{
		Audience: connectAudience, IssuedAt: now.Unix(), Expires: now.Add(connectTTL).Unix(),
	}
	var signers []jose.SigningKey
	for name, key := range keys {
		claims.Services = append(claims.Services, name)
		signers = append(signers, jose.SigningKey{
			Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: name},
		})
	}
	slices.Sort(claims.Services)
	signer, err := jose.NewMultiSigner(signers, nil)
	if err != nil {
		return "", errs.Wrap(err, errs.Internal, "the identity key cannot sign")
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", errs.Wrap(err, errs.Internal, "the identity cannot be signed")
	}
	object, err := signer.Sign(payload)
	if err != nil {
		return "", errs.Wrap(err, errs.Internal, "the identity cannot be signed")
	}
	return object.FullSerialize(), nil
}

// VerifyConnect returns the services as which a process connects to NATS.
//
// Errors: unauthenticated (the token is malformed, forged, expired or for another audience, or a service has not signed
// it).
func (v *Verifier) VerifyConnect(token string) ([]string, error) {
	if len(token) > maxConnectToken {
		return nil, refuse("it is too long")
	}
	object, err := jose.ParseSignedJSON(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, refuse("it is malformed")
	}
	var c connectClaims
	// The claims are trusted only after each of the services has signed them.
	if err := json.Unmarshal(object.UnsafePayloadWithoutVerification(), &c); err != nil {
		return nil, refuse("its claims are malformed")
	}
	now := v.clock.Now()
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	switch {
	case c.Audience != connectAudience:
		return nil, refuse("its audience is another")
	case len(c.Services) == 0:
		return nil, refuse("it names no service")
	case !now.Before(expires):
		return nil, refuse("it has expired")
	case issued.After(now.Add(skew)):
		return nil, refuse("it is from the future")
	case expires.Sub(issued) > connectTTL:
		return nil, refuse("it lives too long")
	}
	for _, name := range c.Services {
		key, known := v.keys[name]
		if !known {
			return nil, refuse("it names an unknown service")
		}
		if _, _, _, err := object.VerifyMulti(key); err != nil {
			return nil, refuse("a service has not signed it")
		}
	}
	return c.Services, nil
}
