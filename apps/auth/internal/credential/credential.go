// Package credential makes and checks the credentials that auth issues: login cookies, session IDs and guest
// tokens. Each kind has its own key, derived from one secret.
package credential

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"

	"souk/pkg/errs"
	"souk/pkg/id"
)

// sessionIDBytes is the number of random bytes in a session's ID.
const sessionIDBytes = 32

// Random returns n random bytes encoded for URLs and cookies.
func Random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it crashes the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// NewSessionID returns the secret of a new session.
func NewSessionID() string { return Random(sessionIDBytes) }

// SessionDigest returns the key under which a session is stored. A reader of the store learns no session ID.
//
// Errors: unauthenticated (sessionID cannot be a session's).
func SessionDigest(sessionID string) (string, error) {
	if len(sessionID) != base64.RawURLEncoding.EncodedLen(sessionIDBytes) {
		return "", errs.New(errs.Unauthenticated, "this is not a session")
	}
	sum := sha256.Sum256([]byte(sessionID))
	return hex.EncodeToString(sum[:]), nil
}

// PublicSessionID returns the name under which a user sees the session with the digest. It does not tell the digest.
func PublicSessionID(digest string) string {
	sum := sha256.Sum256([]byte("souk session " + digest))
	return id.Format(id.Session, uuid.UUID(sum[:16]))
}

// NewDevice returns what a browser keeps to be recognized. It proves nothing but that.
func NewDevice() string { return Random(sessionIDBytes) }

// DeviceDigest returns the name under which a browser is remembered.
//
// Errors: unauthenticated (device cannot be one).
func DeviceDigest(device string) (string, error) { return SessionDigest(device) }

// subkey derives the key for a purpose from secret.
func subkey(secret []byte, purpose string, size int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "souk auth "+purpose, size)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", purpose, err)
	}
	return key, nil
}

// LockoutKey derives the key of the hash by which failed attempts are counted.
func LockoutKey(secret []byte) ([]byte, error) { return subkey(secret, "lockout", sha256.Size) }

// guestKey derives the key pair that signs guest tokens.
func guestKey(secret []byte) (ed25519.PrivateKey, error) {
	seed, err := subkey(secret, "guest", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
