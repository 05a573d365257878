package keyring

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"souk/pkg/errs"
)

// WrappingKey encrypts keys of personal data.
type WrappingKey struct {
	aead        tink.AEAD
	fingerprint string
}

// NewWrappingKey returns the wrapping key of 32 random bytes.
//
// Errors: the length is another one.
func NewWrappingKey(key []byte) (*WrappingKey, error) {
	aead, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("souk keyring 1 "), key...))
	return &WrappingKey{aead: aead, fingerprint: hex.EncodeToString(sum[:8])}, nil
}

// Wrapping is the wrapping key of now, and the one before, which may be nil.
type Wrapping struct{ Now, Former *WrappingKey }

// wrap encrypts the key of an owner's data in a service, and says under which key.
func (w Wrapping) wrap(key []byte, owner, service string) (wrapped []byte, fingerprint string, err error) {
	wrapped, err = w.Now.aead.Encrypt(key, binding(owner, service))
	return wrapped, w.Now.fingerprint, err
}

// unwrap decrypts a key.
//
// Errors: internal (it is not of this owner and service, or of a wrapping key that is not there).
func (w Wrapping) unwrap(wrapped []byte, fingerprint, owner, service string) ([]byte, error) {
	for _, k := range []*WrappingKey{w.Now, w.Former} {
		if k == nil || k.fingerprint != fingerprint {
			continue
		}
		key, err := k.aead.Decrypt(wrapped, binding(owner, service))
		if err != nil {
			return nil, errs.Wrap(err, errs.Internal, "a key of personal data was altered")
		}
		return key, nil
	}
	return nil, errs.New(
		errs.Internal,
		"a key of personal data is wrapped by the key %s, which is neither keyring.key nor keyring.former_key",
		fingerprint,
	)
}

// binding is the additional data of a wrapped key: a key that is copied to another row cannot be read.
func binding(owner, service string) []byte { return []byte(service + "\x00" + owner) }
