package personal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	keyringv1 "souk/gen/go/souk/keyring/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/personal"
)

// keyring is the keyring service in memory.
type keyring struct {
	mu        sync.Mutex
	calls     int
	made      map[string]bool
	destroyed map[string]bool
	down      bool
}

func (k *keyring) GetKeys(
	_ context.Context, r *keyringv1.GetKeysRequest, _ ...grpc.CallOption,
) (*keyringv1.GetKeysResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.down {
		return nil, errs.New(errs.Unavailable, "down")
	}
	res := &keyringv1.GetKeysResponse{}
	for _, owner := range r.GetOwners() {
		k.made[owner] = k.made[owner] || r.GetCreate()
		key := &keyringv1.DataKey{Owner: owner, Destroyed: k.destroyed[owner]}
		if k.made[owner] && !key.GetDestroyed() {
			sum := sha256.Sum256([]byte(owner))
			key.Key = sum[:]
		}
		res.Keys = append(res.Keys, key)
	}
	return res, nil
}

func setup() (*keyring, *clock.Manual, *personal.Cipher) {
	k := &keyring{made: map[string]bool{}, destroyed: map[string]bool{}}
	c := clock.NewManual(time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC))
	return k, c, personal.New(k, c)
}

func TestDataIsReadableAtItsPlaceOnly(t *testing.T) {
	t.Parallel()
	_, _, c := setup()
	sealed, err := c.Encrypt(t.Context(), "usr_1", "order/1", []byte("Ana Souza"))
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "Ana")
	require.Equal(t, "usr_1", personal.Owner(sealed))

	plain, err := c.Decrypt(t.Context(), "order/1", sealed)
	require.NoError(t, err)
	require.Equal(t, "Ana Souza", string(plain))

	_, err = c.Decrypt(t.Context(), "order/2", sealed)
	require.Equal(t, errs.Internal, errs.CodeOf(err), "copied to another place")
	sealed[len(sealed)-1] ^= 1
	_, err = c.Decrypt(t.Context(), "order/1", sealed)
	require.Equal(t, errs.Internal, errs.CodeOf(err), "altered")
	for _, bad := range [][]byte{{1}, {1, 200, 'u'}, []byte("plain text")} {
		_, err = c.Decrypt(t.Context(), "order/1", bad)
		require.Equal(t, errs.Internal, errs.CodeOf(err))
	}
	_, err = c.Encrypt(t.Context(), strings.Repeat("x", 256), "p", []byte("x"))
	require.Equal(t, errs.Internal, errs.CodeOf(err))
}

func TestNothingStaysNothing(t *testing.T) {
	t.Parallel()
	k, _, c := setup()
	sealed, err := c.Encrypt(t.Context(), "usr_1", "p", nil)
	require.NoError(t, err)
	require.Nil(t, sealed)
	plain, err := c.Decrypt(t.Context(), "p", nil)
	require.NoError(t, err)
	require.Nil(t, plain)
	require.Zero(t, k.calls)
}

func TestErasedDataIsGoneWithinTheTTL(t *testing.T) {
	t.Parallel()
	k, now, c := setup()
	sealed, err := c.EncryptJSON(t.Context(), "usr_1", "p", map[string]string{"name": "Ana"})
	require.NoError(t, err)
	k.destroyed["usr_1"] = true
	now.Advance(personal.KeyTTL - time.Second)
	_, err = c.Decrypt(t.Context(), "p", sealed)
	require.NoError(t, err, "the key is kept for the TTL")
	now.Advance(time.Second)
	_, err = c.Decrypt(t.Context(), "p", sealed)
	require.ErrorIs(t, err, personal.ErrErased)
	_, err = c.Encrypt(t.Context(), "usr_1", "p", []byte("x"))
	require.ErrorIs(t, err, personal.ErrErased)
	var into map[string]string
	require.NoError(t, c.DecryptJSON(t.Context(), "p", sealed, &into))
	require.Nil(t, into)
}

func TestAMissingKeyIsNoErasure(t *testing.T) {
	t.Parallel()
	k, now, c := setup()
	sealed, err := c.Encrypt(t.Context(), "usr_1", "p", []byte("x"))
	require.NoError(t, err)
	delete(k.made, "usr_1") // restored from a backup of before
	now.Advance(personal.KeyTTL)
	_, err = c.Decrypt(t.Context(), "p", sealed)
	require.Equal(t, errs.Internal, errs.CodeOf(err))
	require.NotErrorIs(t, err, personal.ErrErased)
	require.False(t, k.made["usr_1"], "decrypting creates no key")
}

func TestKeysAreFetchedOnceAndTogether(t *testing.T) {
	t.Parallel()
	k, now, c := setup()
	var sealed [][]byte
	for _, owner := range []string{"usr_1", "usr_2", "usr_3", "usr_3"} {
		s, err := c.Encrypt(t.Context(), owner, "p", []byte("x"))
		require.NoError(t, err)
		sealed = append(sealed, s)
	}
	require.Equal(t, 3, k.calls)
	now.Advance(personal.KeyTTL)
	c.Prefetch(t.Context(), append(sealed, nil, []byte("plain"))...)
	require.Equal(t, 4, k.calls)
	for _, s := range sealed {
		_, err := c.Decrypt(t.Context(), "p", s)
		require.NoError(t, err)
	}
	require.Equal(t, 4, k.calls)

	k.down = true
	_, err := c.Decrypt(t.Context(), "p", sealed[0])
	require.NoError(t, err, "the keyring may be down for as long as keys are kept")
	now.Advance(personal.KeyTTL)
	_, err = c.Decrypt(t.Context(), "p", sealed[0])
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
}

func TestDigestsFindTextsAgain(t *testing.T) {
	t.Parallel()
	k, _, c := setup()
	a, err := c.Digest(t.Context(), "email", "ana@example.com")
	require.NoError(t, err)
	b, err := c.Digest(t.Context(), "email", "ana@example.com")
	require.NoError(t, err)
	require.Equal(t, a, b)
	other, err := c.Digest(t.Context(), "name", "ana@example.com")
	require.NoError(t, err)
	require.False(t, bytes.Equal(a, other))
	require.NotEqual(t, sha256.Sum256([]byte("ana@example.com")), [32]byte(a))
	require.Equal(t, 1, k.calls)
}
