// Package personal encrypts personal data, such as names, addresses and telephone numbers, under a key of the person
// whom it is about.
//
//	sealed, err := cipher.Encrypt(ctx, order.CustomerID, "order/"+order.ID, plain)
//	plain, err := cipher.Decrypt(ctx, "order/"+order.ID, sealed)
//
// The keys belong to the keyring service, one for each person and service. When a person's data is erased, the keyring
// destroys the keys, and [Cipher.Decrypt] returns [ErrErased] within [KeyTTL]: also for data of a backup.
//
// The encryption is AES-256-GCM of Tink. It is bound to a place, such as the ID of a row: what is copied to another
// place cannot be decrypted there.
//
// Encrypted data cannot be searched. [Cipher.Digest] makes a keyed hash of what must be found again, such as an e-mail
// address.
package personal

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/grpc"

	keyringv1 "souk/gen/go/souk/keyring/v1"
	"souk/pkg/batch"
	"souk/pkg/clock"
	"souk/pkg/errs"
)

// KeyTTL is how long a process keeps a key after it has fetched it.
const KeyTTL = time.Minute

const (
	// maxKeys bounds the keys that a process keeps. One takes about 1 KB.
	maxKeys = 20_000
	// fetchLimit is the most keys that one call fetches: the contract's limit.
	fetchLimit = 200
	// maxOwner is the longest ID of a person: its length is one byte.
	maxOwner = 255
	// digestOwner owns the key of digests. It is no person, so the key is never destroyed.
	digestOwner = "digest"
	// version is the first byte of encrypted data: its format.
	version = 1
)

// ErrErased is the error of data whose key was destroyed, because the person's data was erased.
var ErrErased = errs.New(errs.Conflict, "this person's data was erased")

// Keyring is the keyring service, as far as this package needs it.
type Keyring interface {
	GetKeys(
		ctx context.Context, r *keyringv1.GetKeysRequest, opts ...grpc.CallOption,
	) (*keyringv1.GetKeysResponse, error)
}

// Cipher encrypts and decrypts the personal data of one service. It is safe for concurrent use.
type Cipher struct {
	keyring Keyring
	clock   clock.Clock
	cache   *lru.Cache[string, dataKey]
	get     *batch.Batcher[string, dataKey]
	create  *batch.Batcher[string, dataKey]
}

// dataKey is a key, or what there is instead of one.
type dataKey struct {
	key       []byte
	aead      tink.AEAD // nil if there is no key
	destroyed bool
	until     time.Time
}

// New returns the cipher of the service that calls the keyring.
func New(keyring Keyring, c clock.Clock) *Cipher {
	cache, err := lru.New[string, dataKey](maxKeys)
	if err != nil {
		panic(err) // the size is positive
	}
	out := &Cipher{keyring: keyring, clock: c, cache: cache}
	out.get = batch.New(fetchLimit, out.fetch(false), batch.WithParallel(2))
	out.create = batch.New(fetchLimit, out.fetch(true), batch.WithParallel(2))
	return out
}

// Encrypt encrypts the data of a person, a user or guest, for a place. Empty data stays empty.
//
// Errors: [ErrErased], unavailable.
func (c *Cipher) Encrypt(ctx context.Context, owner, place string, data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	k, err := c.key(ctx, owner, c.create)
	if err != nil {
		return nil, err
	}
	text, err := k.aead.Encrypt(data, []byte(place))
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "personal data cannot be encrypted")
	}
	out := append([]byte{version, byte(len(owner))}, owner...)
	return append(out, text...), nil
}

// Warm fetches the key of a person, if there is one, so that a transaction that encrypts or decrypts does not wait for the
// keyring. A missing key stays missing: it is Decrypt's error.
//
// Errors: unavailable.
func (c *Cipher) Warm(ctx context.Context, owner string) error {
	if k, ok := c.cache.Get(owner); ok && c.clock.Now().Before(k.until) {
		return nil
	}
	_, err := c.get.Submit(ctx, owner)
	return err
}

// Decrypt decrypts data that Encrypt has encrypted for the same place. Empty data stays empty.
//
// Errors: [ErrErased], internal (it was altered, is of another place, or its key is missing), unavailable.
func (c *Cipher) Decrypt(ctx context.Context, place string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	owner, text, ok := split(sealed)
	if !ok {
		return nil, errs.New(errs.Internal, "personal data is malformed")
	}
	k, err := c.key(ctx, owner, c.get)
	if err != nil {
		return nil, err
	}
	data, err := k.aead.Decrypt(text, []byte(place))
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "personal data cannot be decrypted")
	}
	return data, nil
}

// Prefetch fetches the keys of encrypted data in one call, so that decrypting a list does not make one for each.
// Errors are left to Decrypt.
func (c *Cipher) Prefetch(ctx context.Context, sealed ...[]byte) {
	now := c.clock.Now()
	var missing []string
	seen := make(map[string]bool)
	for _, s := range sealed {
		owner, _, ok := split(s)
		if !ok || seen[owner] {
			continue
		}
		seen[owner] = true
		if k, ok := c.cache.Get(owner); !ok || !now.Before(k.until) {
			missing = append(missing, owner)
		}
	}
	for len(missing) > 1 { // Decrypt fetches a single one
		n := min(len(missing), fetchLimit)
		if _, err := c.fetch(false)(ctx, missing[:n]); err != nil {
			return
		}
		missing = missing[n:]
	}
}

// Digest returns a keyed hash (HMAC-SHA-256) of a text for a purpose, which finds the text again without storing it.
//
// Errors: unavailable.
func (c *Cipher) Digest(ctx context.Context, purpose, text string) ([]byte, error) {
	k, err := c.key(ctx, digestOwner, c.create)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, k.key)
	h.Write([]byte(purpose + "\x00" + text))
	return h.Sum(nil), nil
}

// EncryptJSON encrypts the JSON of a value.
//
// Errors: those of [Cipher.Encrypt], internal (the value has no JSON).
func (c *Cipher) EncryptJSON(ctx context.Context, owner, place string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "personal data cannot be encoded")
	}
	return c.Encrypt(ctx, owner, place, data)
}

// DecryptJSON decrypts what EncryptJSON has encrypted into a value. If the data was erased, the value stays as it is.
//
// Errors: those of [Cipher.Decrypt] but [ErrErased].
func (c *Cipher) DecryptJSON(ctx context.Context, place string, sealed []byte, into any) error {
	data, err := c.Decrypt(ctx, place, sealed)
	switch {
	case errors.Is(err, ErrErased):
		return nil
	case err != nil || data == nil:
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return errs.New(errs.Internal, "personal data cannot be decoded") // the cause would show it
	}
	return nil
}

// Owner returns the person whom encrypted data is about; "" if it is none.
func Owner(sealed []byte) string {
	owner, _, _ := split(sealed)
	return owner
}

// split takes encrypted data apart: version, length of the owner, owner, ciphertext.
func split(sealed []byte) (owner string, text []byte, ok bool) {
	if len(sealed) < 2 || sealed[0] != version || len(sealed) < 2+int(sealed[1]) {
		return "", nil, false
	}
	n := 2 + int(sealed[1])
	return string(sealed[2:n]), sealed[n:], true
}

// key returns a usable key.
func (c *Cipher) key(ctx context.Context, owner string, from *batch.Batcher[string, dataKey]) (dataKey, error) {
	if owner == "" || len(owner) > maxOwner {
		return dataKey{}, errs.New(errs.Internal, "personal data must have an owner")
	}
	k, ok := c.cache.Get(owner)
	if !ok || !c.clock.Now().Before(k.until) {
		var err error
		if k, err = from.Submit(ctx, owner); err != nil {
			return dataKey{}, err
		}
	}
	switch {
	case k.destroyed:
		return dataKey{}, ErrErased
	case k.aead == nil:
		return dataKey{}, errs.New(errs.Internal, "a key of personal data is missing: was the keyring restored from a "+
			"backup that is older than that of this service?")
	}
	return k, nil
}

// fetch returns a function that fetches the keys of owners, and creates missing ones if create is set.
func (c *Cipher) fetch(create bool) batch.Flush[string, dataKey] {
	return func(ctx context.Context, owners []string) ([]batch.Result[dataKey], error) {
		req := &keyringv1.GetKeysRequest{Create: create}
		seen := make(map[string]bool, len(owners))
		for _, owner := range owners {
			if !seen[owner] {
				seen[owner] = true
				req.Owners = append(req.Owners, owner)
			}
		}
		until := c.clock.Now().Add(KeyTTL)
		res, err := c.keyring.GetKeys(ctx, req)
		if err != nil {
			return nil, err
		}
		keys := make(map[string]dataKey, len(owners))
		for _, k := range res.GetKeys() {
			got := dataKey{key: k.GetKey(), destroyed: k.GetDestroyed(), until: until}
			if len(got.key) > 0 {
				if got.aead, err = subtle.NewAESGCM(got.key); err != nil {
					return nil, errs.Wrap(err, errs.Internal, "a key of personal data is malformed")
				}
			}
			keys[k.GetOwner()] = got
			if got.aead != nil || got.destroyed {
				c.cache.Add(k.GetOwner(), got)
			}
		}
		out := make([]batch.Result[dataKey], len(owners))
		for i, owner := range owners {
			out[i].Value = keys[owner]
		}
		return out, nil
	}
}
