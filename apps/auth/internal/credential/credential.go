// Package credential makes and checks what auth hands out itself: login cookies, session IDs and guest
// tokens. One secret is behind all of them, a key of its own for each.
package credential

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"souk/pkg/errs"
)

// sessionIDBytes are the random bytes of a session's ID.
const sessionIDBytes = 32

// Random returns n random bytes as text that is fit for URLs and cookies.
func Random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it crashes the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// NewSessionID returns the secret of a new session.
func NewSessionID() string { return Random(sessionIDBytes) }

// SessionDigest returns under what a session is kept, so that who reads the store learns no session's ID.
// It fails with errs.Unauthenticated when id cannot be a session's.
func SessionDigest(id string) (string, error) {
	if len(id) != base64.RawURLEncoding.EncodedLen(sessionIDBytes) {
		return "", errs.New(errs.Unauthenticated, "this is not a session")
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:]), nil
}

// subkey derives the key for one purpose.
func subkey(secret []byte, purpose string, size int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "souk auth "+purpose, size)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", purpose, err)
	}
	return key, nil
}

// guestKey derives the key pair that signs guest tokens.
func guestKey(secret []byte) (ed25519.PrivateKey, error) {
	seed, err := subkey(secret, "guest", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
