package identity_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/identity"
)

// keysOf returns the keys of services.
func keysOf(names ...string) map[string]ed25519.PrivateKey {
	out := map[string]ed25519.PrivateKey{}
	for _, name := range names {
		out[name] = identity.DeriveKey(seed, name)
	}
	return out
}

func TestConnectTokenNamesTheServicesThatSignedIt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	token, err := identity.ConnectToken(keysOf("product", "order"), h.clock)
	require.NoError(t, err)
	names, err := h.verifier.VerifyConnect(token)
	require.NoError(t, err)
	require.Equal(t, []string{"order", "product"}, names)
	h.clock.Advance(59 * time.Second)
	_, err = h.verifier.VerifyConnect(token)
	require.NoError(t, err)
	h.clock.Advance(time.Second)
	_, err = h.verifier.VerifyConnect(token)
	require.True(t, errs.Is(err, errs.Unauthenticated), "expired: %v", err)
}

func TestInvalidConnectTokensAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	sign := func(keys map[string]ed25519.PrivateKey) string {
		token, err := identity.ConnectToken(keys, h.clock)
		require.NoError(t, err)
		return token
	}
	stolen := keysOf("order")
	stolen["product"] = stolen["order"] // order's key in the name of product
	both := sign(keysOf("order", "product"))
	one := sign(keysOf("order"))
	bothClaims, oneSignature := between(both, `"payload":"`, `"`), between(one, `"signature":"`, `"`)
	call, _, err := h.signers["order"].Sign(identity.Service("order"), method)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"empty":                   "",
		"no JWS":                  "{}",
		"unknown service":         sign(keysOf("order", "mallory")),
		"another service's key":   sign(stolen),
		"claims of another token": strings.Replace(one, between(one, `"payload":"`, `"`), bothClaims, 1),
		"a signature is missing":  strings.Replace(both, between(both, `"signature":"`, `"`), oneSignature, 1),
		"a token for calls":       call,
		"too long":                one + strings.Repeat(" ", 16<<10),
	} {
		_, err := h.verifier.VerifyConnect(token)
		require.True(t, errs.Is(err, errs.Unauthenticated), "%s: %v", name, err)
	}
	_, err = h.verifier.Verify(one, method)
	require.True(t, errs.Is(err, errs.Unauthenticated), "it is not for calls: %v", err)
}

// between returns the part of s between the first begin and the end that follows it.
func between(s, begin, end string) string {
	_, rest, _ := strings.Cut(s, begin)
	out, _, _ := strings.Cut(rest, end)
	return out
}
