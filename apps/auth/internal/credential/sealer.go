package credential

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"souk/apps/auth/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/errs"
)

// sealed is the additional data of the encryption: it binds a cookie to its purpose.
var sealed = []byte("souk login cookie 1")

// Sealer seals logins in flight into opaque cookies and opens them: AES-256-GCM with a random nonce.
type Sealer struct {
	aead  cipher.AEAD
	clock clock.Clock
}

// NewSealer returns a Sealer with a key derived from secret.
func NewSealer(secret []byte, c clock.Clock) (*Sealer, error) {
	key, err := subkey(secret, "login", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("login cookie: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("login cookie: %w", err)
	}
	return &Sealer{aead: aead, clock: c}, nil
}

// Seal returns the cookie's value.
func (s *Sealer) Seal(l domain.Login) (string, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("login cookie: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, b, sealed)), nil
}

// Open reads a cookie's value.
//
// Errors: unauthenticated (not made by Seal, or too old).
func (s *Sealer) Open(cookie string) (domain.Login, error) {
	var l domain.Login
	b, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err == nil {
		b, err = s.aead.Open(nil, nil, b, sealed)
	}
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil || !s.clock.Now().Before(l.Expires) {
		return domain.Login{}, errs.New(errs.Unauthenticated,
			"this sign-in was not begun here, or took too long: begin again at /auth/login")
	}
	return l, nil
}
