package identity_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// method is what the tokens of the tests are for.
const method = "/souk.test.v1.TestService/Test"

var (
	seed  = []byte("a seed for tests, thirty-two byte")
	start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

type harness struct {
	clock    *clock.Manual
	verifier *identity.Verifier
	signers  map[string]*identity.Signer
}

func setup(t testing.TB) harness {
	t.Helper()
	k := harness{clock: clock.NewManual(start), signers: map[string]*identity.Signer{}}
	keys := map[string]ed25519.PublicKey{}
	for _, name := range []string{identity.Gateway, "order", "product"} {
		key := identity.DeriveKey(seed, name)
		keys[name] = key.Public().(ed25519.PublicKey)
		k.signers[name] = identity.NewSigner(name, key, 5*time.Minute, k.clock)
	}
	k.verifier = identity.NewVerifier(keys, k.clock)
	return k
}

func (k harness) sign(t testing.TB, issuer string, a identity.Actor) string {
	t.Helper()
	token, _, err := k.signers[issuer].Sign(a, method)
	require.NoError(t, err)
	return token
}

func TestVerifyReturnsTheSignedActor(t *testing.T) {
	t.Parallel()
	k := setup(t)
	for _, a := range []identity.Actor{
		identity.Anonymous(),
		{Kind: identity.KindGuest, ID: "gst_1"},
		{Kind: identity.KindUser, ID: "usr_1", Roles: []string{"customer", "operator"}},
		{Kind: identity.KindUser, ID: "usr_1", Roles: []string{"customer", "operator"}, Permissions: []string{"order.read"}},
		{Kind: identity.KindUser, ID: "usr_1", SessionID: "ses_1"},
		{Kind: identity.KindUser, ID: "usr_1", SessionID: "ses_2"},
		{Kind: identity.KindUser, ID: "usr_1", SessionID: "ses_2", RecentUntil: start},
		{Kind: identity.KindUser, ID: "usr_1", SessionID: "ses_2", RecentUntil: start.Add(time.Second)},
		{Kind: identity.KindKey, ID: "key_1", ShopID: "shp_1", Permissions: []string{"order.read"}},
		{Kind: identity.KindKey, ID: "key_1", ShopID: "shp_2", Permissions: []string{"order.read"}},
		identity.Service(identity.Gateway),
	} {
		token := k.sign(t, identity.Gateway, a)
		for range 2 { // the second time from the cache
			got, err := k.verifier.Verify(token, method)
			require.NoError(t, err)
			require.Equal(t, a, got)
		}
	}
	got, err := k.verifier.Verify(k.sign(t, "order", identity.Service("order")), method)
	require.NoError(t, err)
	require.Equal(t, identity.Service("order"), got)
}

func TestOnlyTheGatewayAssertsOthers(t *testing.T) {
	t.Parallel()
	k := setup(t)
	for _, c := range []struct {
		issuer string
		actor  identity.Actor
	}{
		{"order", identity.Actor{Kind: identity.KindUser, ID: "usr_1"}},
		{"order", identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}},
		{"order", identity.Anonymous()},
		{"order", identity.Service("product")},
		{"order", identity.Actor{Kind: identity.KindService, ID: "order", Roles: []string{"operator"}}},
		{identity.Gateway, identity.Service("order")},
		{identity.Gateway, identity.Actor{Kind: identity.KindUser}},
		{identity.Gateway, identity.Actor{Kind: identity.KindGuest, ID: "gst_1", Roles: []string{"operator"}}},
		{"order", identity.Actor{Kind: identity.KindService, ID: "order", Permissions: []string{"order.read"}}},
		{identity.Gateway, identity.Actor{Kind: identity.KindGuest, ID: "gst_1", Permissions: []string{"order.read"}}},
		{identity.Gateway, identity.Actor{Kind: identity.KindAnonymous, Permissions: []string{"order.read"}}},
		{identity.Gateway, identity.Actor{Kind: identity.KindUser, ID: "usr_1", ShopID: "shp_1"}},
		{identity.Gateway, identity.Actor{Kind: identity.KindGuest, ID: "gst_1", SessionID: "ses_1"}},
		{identity.Gateway, identity.Actor{Kind: identity.KindGuest, ID: "gst_1", RecentUntil: start}},
		{identity.Gateway, identity.Actor{Kind: identity.KindKey, ID: "key_1"}},
		{identity.Gateway, identity.Actor{Kind: identity.KindKey, ID: "key_1", ShopID: "shp_1", Roles: []string{"operator"}}},
		{"order", identity.Actor{Kind: identity.KindKey, ID: "key_1", ShopID: "shp_1"}},
		{identity.Gateway, identity.Actor{Kind: "root", ID: "usr_1"}},
	} {
		_, err := k.verifier.Verify(k.sign(t, c.issuer, c.actor), method)
		require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), "%s asserts %v", c.issuer, c.actor)
	}
}

func TestExpiredTokenIsRefused(t *testing.T) {
	t.Parallel()
	k := setup(t)
	token := k.sign(t, "order", identity.Service("order"))
	k.clock.Advance(5*time.Minute - time.Second)
	_, err := k.verifier.Verify(token, method)
	require.NoError(t, err)
	k.clock.Advance(time.Second)
	_, err = k.verifier.Verify(token, method)
	require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), "from the cache")

	other := setup(t)
	other.clock.Advance(time.Hour)
	_, err = other.verifier.Verify(token, method)
	require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), "not from the cache")
}

func TestTokenFromTheFutureIsRefused(t *testing.T) {
	t.Parallel()
	k, ahead := setup(t), setup(t)
	ahead.clock.Advance(10 * time.Second)
	_, err := k.verifier.Verify(ahead.sign(t, "order", identity.Service("order")), method)
	require.NoError(t, err, "clocks differ a little")
	ahead.clock.Advance(10 * time.Minute)
	_, err = k.verifier.Verify(ahead.sign(t, "order", identity.Service("order")), method)
	require.Equal(t, errs.Unauthenticated, errs.CodeOf(err))
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	k := setup(t)
	good := k.sign(t, identity.Gateway, identity.Actor{Kind: identity.KindUser, ID: "usr_1"})
	header, payload, signature := split(good)
	b64 := base64.RawURLEncoding.EncodeToString
	claim := func(change map[string]any) string {
		c := map[string]any{
			"iss": "gateway", "sub": "usr_1", "kind": "user", "aud": "souk-internal", "mth": method,
			"iat": start.Unix(), "exp": start.Add(time.Minute).Unix(),
		}
		for name, v := range change {
			c[name] = v
		}
		b, err := json.Marshal(c)
		require.NoError(t, err)
		return string(b)
	}
	foreign := identity.DeriveKey([]byte("another seed, just as long as it"), identity.Gateway)
	gateway := identity.DeriveKey(seed, identity.Gateway)
	order := identity.DeriveKey(seed, "order")
	hmac := []byte(gateway.Public().(ed25519.PublicKey))

	_, err := k.verifier.Verify(jws(t, jose.EdDSA, gateway, "gateway", claim(nil)), method)
	require.NoError(t, err, "the forger itself works")

	for name, token := range map[string]string{
		"empty":                    "",
		"not a token":              "usr_1",
		"alg none":                 b64([]byte(`{"alg":"none","kid":"gateway"}`)) + "." + payload + ".",
		"alg none with signature":  b64([]byte(`{"alg":"none","kid":"gateway"}`)) + "." + payload + "." + signature,
		"HMAC with the public key": jws(t, jose.HS256, hmac, "gateway", claim(nil)),
		"no signature":             header + "." + payload + ".",
		"another payload": header + "." + b64([]byte(claim(map[string]any{
			"sub": "usr_2",
		}))) + "." + signature,
		"foreign key":                  jws(t, jose.EdDSA, foreign, "gateway", claim(nil)),
		"unknown issuer":               jws(t, jose.EdDSA, foreign, "mallory", claim(map[string]any{"iss": "mallory"})),
		"key of another service":       jws(t, jose.EdDSA, order, "gateway", claim(nil)),
		"key id of one, claims of two": jws(t, jose.EdDSA, order, "order", claim(nil)),
		"no key id":                    jws(t, jose.EdDSA, gateway, "", claim(nil)),
		"foreign audience": jws(t, jose.EdDSA, gateway, "gateway",
			claim(map[string]any{"aud": "souk-public"})),
		"another method": jws(t, jose.EdDSA, gateway, "gateway", claim(map[string]any{"mth": "/souk.test.v1.TestService/Other"})),
		"no method":      jws(t, jose.EdDSA, gateway, "gateway", claim(map[string]any{"mth": ""})),
		"no expiry":      jws(t, jose.EdDSA, gateway, "gateway", claim(map[string]any{"exp": 0})),
		"lives for ever": jws(t, jose.EdDSA, gateway, "gateway",
			claim(map[string]any{"exp": start.AddDate(9, 0, 0).Unix()})),
		"claims of wrong types": jws(t, jose.EdDSA, gateway, "gateway", claim(map[string]any{"roles": "operator"})),
		"not JSON":              jws(t, jose.EdDSA, gateway, "gateway", "hello"),
		"too long":              good + strings.Repeat("A", 5000),
		"JSON serialization":    `{"payload":"` + payload + `","protected":"` + header + `","signature":"` + signature + `"}`,
	} {
		_, err := k.verifier.Verify(token, method)
		require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), name)
	}
}

func split(token string) (header, payload, signature string) {
	parts := strings.Split(token, ".")
	return parts[0], parts[1], parts[2]
}

func jws(t testing.TB, alg jose.SignatureAlgorithm, key any, kid, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	require.NoError(t, err)
	object, err := signer.Sign([]byte(payload))
	require.NoError(t, err)
	token, err := object.CompactSerialize()
	require.NoError(t, err)
	return token
}

func TestSignerReusesTokens(t *testing.T) {
	t.Parallel()
	k := setup(t)
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1"}
	first := k.sign(t, identity.Gateway, user)
	k.clock.Advance(time.Minute)
	require.Equal(t, first, k.sign(t, identity.Gateway, user))
	require.NotEqual(
		t, first,
		k.sign(t, identity.Gateway, identity.Actor{Kind: identity.KindUser, ID: "usr_1", Roles: []string{"operator"}}),
	)
	require.NotEqual(t, first, k.sign(t, identity.Gateway, identity.Actor{Kind: identity.KindUser, ID: "usr_2"}))
	k.clock.Advance(3 * time.Minute)
	require.NotEqual(t, first, k.sign(t, identity.Gateway, user), "a new one well before the end")
}

// After the clock was set back, a reused token would be from the future and would be refused.
func TestSignerSignsAgainAfterItsClockWasSetBack(t *testing.T) {
	t.Parallel()
	k := setup(t)
	_ = k.sign(t, "order", identity.Service("order"))
	k.clock.Advance(-10 * time.Minute)
	token := k.sign(t, "order", identity.Service("order"))
	fresh := identity.NewVerifier(
		map[string]ed25519.PublicKey{"order": identity.DeriveKey(seed, "order").Public().(ed25519.PublicKey)},
		k.clock,
	)
	_, err := fresh.Verify(token, method)
	require.NoError(t, err)
}

// A Signer in the Verifier's process saves only the check of the signature.
func TestTokensOfALocalSignerAreChecked(t *testing.T) {
	t.Parallel()
	setup := func() (*clock.Manual, *identity.Verifier) {
		c := clock.NewManual(start)
		public := identity.DeriveKey(seed, identity.Gateway).Public().(ed25519.PublicKey)
		order := identity.DeriveKey(seed, "order").Public().(ed25519.PublicKey)
		return c, identity.NewVerifier(map[string]ed25519.PublicKey{identity.Gateway: public, "order": order}, c)
	}
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1", Roles: []string{"seller"}}
	c, v := setup()
	token, _, err := v.Signer(identity.Gateway, identity.DeriveKey(seed, identity.Gateway), time.Minute).
		Sign(user, method)
	require.NoError(t, err)
	_, elsewhere := setup()
	for _, verifier := range []*identity.Verifier{v, elsewhere} {
		got, err := verifier.Verify(token, method)
		require.NoError(t, err)
		require.Equal(t, user, got)
	}
	_, err = v.Verify(token[:len(token)-4]+"AAAA", method)
	require.True(t, errs.Is(err, errs.Unauthenticated), "another signature: %v", err)
	c.Advance(time.Minute)
	_, err = v.Verify(token, method)
	require.True(t, errs.Is(err, errs.Unauthenticated), "expired: %v", err)

	_, v = setup()
	for name, signer := range map[string]*identity.Signer{
		"a service that asserts a user": v.Signer("order", identity.DeriveKey(seed, "order"), time.Minute),
		"another key": v.Signer(identity.Gateway,
			identity.DeriveKey([]byte("another seed for the tests, too."), identity.Gateway), time.Minute),
		"an unknown issuer": v.Signer("stranger", identity.DeriveKey(seed, "stranger"), time.Minute),
	} {
		token, _, err := signer.Sign(user, method)
		require.NoError(t, err)
		_, err = v.Verify(token, method)
		require.True(t, errs.Is(err, errs.Unauthenticated), "%s: %v", name, err)
	}
}

// An assertion is as good as its token, both to the verifier of its process and to any other.
func TestAssertionsAreVerifiedLikeTokens(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(start)
	keys := map[string]ed25519.PublicKey{}
	for _, name := range []string{identity.Gateway, "order"} {
		keys[name] = identity.DeriveKey(seed, name).Public().(ed25519.PublicKey)
	}
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1", Roles: []string{"seller"}}
	for where, verifiers := range map[string]func() (signs, verifies *identity.Verifier){
		"in one process": func() (*identity.Verifier, *identity.Verifier) {
			v := identity.NewVerifier(keys, c)
			return v, v
		},
		"in two": func() (*identity.Verifier, *identity.Verifier) {
			return identity.NewVerifier(keys, c), identity.NewVerifier(keys, c)
		},
	} {
		signs, verifies := verifiers()
		gateway := signs.Signer(identity.Gateway, identity.DeriveKey(seed, identity.Gateway), time.Minute)
		assertion := gateway.Assert(user)
		actor, err := verifies.VerifyAssertion(assertion, method)
		require.NoError(t, err, where)
		require.Equal(t, user, actor, where)
		token, err := assertion.Token(method)
		require.NoError(t, err, where)
		actor, err = verifies.Verify(token, method)
		require.NoError(t, err, where)
		require.Equal(t, user, actor, where)

		refused := map[string]*identity.Assertion{
			"a service that asserts a user": signs.Signer("order", identity.DeriveKey(seed, "order"), time.Minute).
				Assert(user),
			"a service that asserts another": signs.Signer("order", identity.DeriveKey(seed, "order"), time.Minute).
				Assert(identity.Service("payment")),
			"another key": signs.Signer(identity.Gateway,
				identity.DeriveKey([]byte("another seed for the tests, too."), identity.Gateway), time.Minute).
				Assert(user),
			"an unknown issuer": signs.Signer("stranger", identity.DeriveKey(seed, "stranger"), time.Minute).
				Assert(identity.Service("stranger")),
			"a guest with roles": gateway.Assert(
				identity.Actor{Kind: identity.KindGuest, ID: "gst_1", Roles: []string{"operator"}},
			),
			"an unknown kind": gateway.Assert(identity.Actor{Kind: "king", ID: "1"}),
		}
		for name, a := range refused {
			_, err := verifies.VerifyAssertion(a, method)
			require.True(t, errs.Is(err, errs.Unauthenticated), "%s, %s: %v", where, name, err)
		}
	}

	v := identity.NewVerifier(keys, c)
	old := v.Signer(identity.Gateway, identity.DeriveKey(seed, identity.Gateway), time.Minute).Assert(user)
	c.Advance(5 * time.Minute)
	for name, verifier := range map[string]*identity.Verifier{
		"its own process": v, "another": identity.NewVerifier(keys, c),
	} {
		_, err := verifier.VerifyAssertion(old, method)
		require.True(t, errs.Is(err, errs.Unauthenticated), "expired, %s: %v", name, err)
	}
	_, err := old.Token(method)
	require.True(t, errs.Is(err, errs.Unauthenticated), "expired: %v", err)
}

func TestConcurrentSignAndVerify(t *testing.T) {
	t.Parallel()
	k := setup(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				a := identity.Actor{Kind: identity.KindUser, ID: fmt.Sprint("usr_", (i+j)%10)}
				token, _, err := k.signers[identity.Gateway].Sign(a, method)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := k.verifier.Verify(token, method); err != nil || got.ID != a.ID {
					t.Error(got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestActorOfContext(t *testing.T) {
	t.Parallel()
	require.Equal(t, identity.Anonymous(), identity.FromContext(t.Context()))
	operator := identity.Actor{Kind: identity.KindUser, ID: "usr_1", Permissions: []string{"order.read"}}
	ctx := identity.NewContext(t.Context(), operator)
	got := identity.FromContext(ctx)
	require.True(t, got.Can("order.read") && got.IsUser() && !got.IsGuest() && !got.IsService() && !got.IsKey())
	require.False(t, got.Can("order.cancel") || got.KeyCan("order.read"))
	key := identity.Actor{Kind: identity.KindKey, ID: "key_1", ShopID: "shp_1", Permissions: []string{"order.read"}}
	require.True(t, key.KeyCan("order.read") && key.IsKey() && !key.IsUser())
	require.False(t, key.Can("order.read"), "a key has its permissions in its shop only")
	require.False(t, key.KeyCan("order.cancel"))
	require.Empty(t, identity.TokenFrom(ctx))
	ctx = identity.WithToken(ctx, "t")
	require.Equal(t, "t", identity.TokenFrom(ctx))
	assertion := setup(t).signers[identity.Gateway].Assert(operator)
	ctx = identity.WithAssertion(ctx, assertion)
	require.Same(t, assertion, identity.AssertionFrom(ctx))
	require.Empty(t, identity.TokenFrom(ctx), "the last call wins")
	require.Nil(t, identity.AssertionFrom(identity.WithToken(ctx, "")))
}

func TestDeriveKeyIsDeterministicPerService(t *testing.T) {
	t.Parallel()
	require.Equal(t, identity.DeriveKey(seed, "order"), identity.DeriveKey(seed, "order"))
	require.NotEqual(t, identity.DeriveKey(seed, "order"), identity.DeriveKey(seed, "product"))
}

func BenchmarkVerifyCached(b *testing.B) {
	k := setup(b)
	token := k.sign(b, identity.Gateway, identity.Actor{Kind: identity.KindUser, ID: "usr_1"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.verifier.Verify(token, method); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignCached(b *testing.B) {
	k := setup(b)
	b.ReportAllocs()
	for b.Loop() {
		k.sign(b, identity.Gateway, identity.Actor{Kind: identity.KindUser, ID: "usr_1"})
	}
}
