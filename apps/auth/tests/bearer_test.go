package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	oidcprovider "souk/apps/auth/internal/provider"
	"souk/pkg/errs"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.provider
	for name, key := range map[string]jose.SigningKey{
		"RS256": p.rsaKey(),
		"ES256": {Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.ec, KeyID: "ec"}},
		"EdDSA": {Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: p.ed, KeyID: "ed"}},
	} {
		who, err := b.bearer(p.sign(key, p.claims(b.clock.Now(), nil)))
		require.NoError(t, err, name)
		require.Equal(t, "user", who.GetKind())
		require.Equal(t, b.users.ids[p.URL+" sub-ann"], who.GetSubjectId())
		require.Equal(t, []string{"customer", "seller"}, who.GetRoles())
		require.WithinDuration(t, b.clock.Now().Add(time.Minute), who.GetReusableUntil().AsTime(), time.Second)
	}
	require.Len(t, b.users.ensured(), 1, "the user is known from then on")
	require.Equal(t, int32(1), p.keysAsked.Load())
	require.Zero(t, p.userinfoAsked.Load(), "all stands in the token")

	// An answer is not reusable for longer than the token is good.
	who, err := b.bearer(p.sign(p.rsaKey(), p.claims(b.clock.Now(), map[string]any{"exp": b.clock.Now().Add(10 * time.Second).Unix()})))
	require.NoError(t, err)
	require.WithinDuration(t, b.clock.Now().Add(10*time.Second), who.GetReusableUntil().AsTime(), time.Second)

	// A new e-mail address reaches the user service within minutes.
	b.clock.Advance(6 * time.Minute)
	_, err = b.bearer(p.sign(p.rsaKey(), p.claims(b.clock.Now(), map[string]any{"email": "ann@new.example"})))
	require.NoError(t, err)
	require.Equal(t, "ann@new.example", b.users.ensured()[1].GetEmail())
}

func TestBearerRoles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	zitadel := "urn:zitadel:iam:org:project:roles"
	for name, c := range map[string]struct {
		claims map[string]any
		want   []string
	}{
		"none":             {map[string]any{"roles": nil}, []string{"customer"}},
		"list":             {map[string]any{"roles": []string{"operator", "customer"}}, []string{"customer", "operator"}},
		"text":             {map[string]any{"roles": "seller operator"}, []string{"customer", "seller", "operator"}},
		"unknown":          {map[string]any{"roles": []any{"root", 7, nil, "Operator"}}, []string{"customer"}},
		"wrong type":       {map[string]any{"roles": 7}, []string{"customer"}},
		"Zitadel's object": {map[string]any{"roles": nil, zitadel: map[string]any{"operator": map[string]any{"2391": "souk.example"}}}, []string{"customer", "operator"}},
		"both":             {map[string]any{"roles": []string{"seller"}, zitadel: map[string]any{"operator": map[string]any{}}}, []string{"customer", "seller", "operator"}},
	} {
		who, err := b.bearer(b.provider.sign(b.provider.rsaKey(), b.provider.claims(b.clock.Now(), c.claims)))
		require.NoError(t, err, name)
		require.Equal(t, c.want, who.GetRoles(), name)
	}
}

func TestBearerRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, now := b.provider, b.clock.Now()
	good := p.sign(p.rsaKey(), p.claims(now, nil))
	_, err := b.bearer(good)
	require.NoError(t, err)
	parts := strings.Split(good, ".")
	head := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	der, err := x509.MarshalPKIXPublicKey(p.rsa.Public())
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	signed := func(change map[string]any) string { return p.sign(p.rsaKey(), p.claims(now, change)) }
	guest, _, err := b.guests().Issue()
	require.NoError(t, err)
	guestParts := strings.Split(guest, ".")
	idToken := signed(map[string]any{"nonce": "n"})

	for name, token := range map[string]string{
		"expired":                    signed(map[string]any{"exp": now.Add(-31 * time.Second).Unix()}),
		"no exp":                     signed(map[string]any{"exp": nil}),
		"not yet":                    signed(map[string]any{"nbf": now.Add(40 * time.Second).Unix()}),
		"made in the future":         signed(map[string]any{"iat": now.Add(time.Hour).Unix()}),
		"foreign issuer":             signed(map[string]any{"iss": "https://evil.example"}),
		"foreign audience":           signed(map[string]any{"aud": "other"}),
		"audience of ID token":       signed(map[string]any{"aud": clientID}),
		"no audience":                signed(map[string]any{"aud": nil}),
		"no subject":                 signed(map[string]any{"sub": nil}),
		"huge subject":               signed(map[string]any{"sub": strings.Repeat("x", 256)}),
		"wrong claim types":          signed(map[string]any{"exp": true}),
		"ID token":                   idToken,
		"alg none":                   head(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".",
		"alg None":                   head(`{"alg":"None","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"no alg":                     head(`{"typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":  p.sign(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: public, KeyID: "rsa"}}, p.claims(now, nil)),
		"HS256 with the modulus":     p.sign(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: p.rsa.N.Bytes(), KeyID: "rsa"}}, p.claims(now, nil)),
		"other key, same kid":        p.sign(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: foreign, KeyID: "rsa"}}, p.claims(now, nil)),
		"other key, no kid":          p.sign(jose.SigningKey{Algorithm: jose.RS256, Key: foreign}, p.claims(now, nil)),
		"other key, unknown kid":     p.sign(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: foreign, KeyID: "evil"}}, p.claims(now, nil)),
		"right key, other algorithm": p.sign(jose.SigningKey{Algorithm: jose.PS256, Key: jose.JSONWebKey{Key: p.rsa, KeyID: "rsa"}}, p.claims(now, nil)),
		"key in the header":          head(`{"alg":"RS256","jwk":{"kty":"RSA","e":"AQAB","n":"AQAB"}}`) + "." + parts[1] + "." + parts[2],
		"another type":               head(`{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`) + "." + parts[1] + "." + parts[2],
		"signature cut":              good[:len(good)-8],
		"no signature":               parts[0] + "." + parts[1] + ".",
		"payload changed":            parts[0] + "." + head(`{"sub":"sub-root"}`) + "." + parts[2],
		"malformed":                  "not a token",
		"dots":                       "..",
		"four parts":                 good + ".x",
		"not UTF-8 inside":           head("\xff\xfe") + "." + head("\xff") + "." + head("\xff"),
		"huge":                       good + strings.Repeat("A", 1<<20),
		"deep JSON":                  head(strings.Repeat("[", 5000)) + "." + parts[1] + "." + parts[2],
		"JSON serialization":         `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"guest, tampered":            guestParts[0] + "." + head(`{"iss":"souk","aud":"souk-guest","sub":"gst_1","exp":9999999999}`) + "." + guestParts[2],
		"guest header on a user's":   guestParts[0] + "." + parts[1] + "." + parts[2],
		"guest, alg none":            head(`{"alg":"none","typ":"souk-guest+jwt"}`) + "." + guestParts[1] + ".",
	} {
		_, err := b.bearer(token)
		requireCode(t, errs.Unauthenticated, err)
		require.NotContains(t, err.Error(), "audience", name)
		require.Contains(t, err.Error(), "sign in", name)
	}
	// Clocks may differ a little.
	for _, change := range []map[string]any{{"exp": now.Add(-29 * time.Second).Unix()}, {"nbf": now.Add(29 * time.Second).Unix()}} {
		who, err := b.bearer(signed(change))
		require.NoError(t, err)
		require.NotNil(t, who)
	}
}

// TestIDTokenAsAccessToken: even where both are for one audience, an ID token opens nothing.
func TestIDTokenAsAccessToken(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := setupWith(t, p, oidcprovider.Options{Issuer: p.URL, ClientID: clientID, ClientSecret: clientSecret, Audience: clientID})
	for _, claim := range []string{"nonce", "at_hash", "c_hash"} {
		_, err := b.bearer(p.sign(p.rsaKey(), p.claims(b.clock.Now(), map[string]any{"aud": clientID, claim: "x"})))
		requireCode(t, errs.Unauthenticated, err)
	}
	_, err := b.bearer(p.sign(p.rsaKey(), p.claims(b.clock.Now(), map[string]any{"aud": clientID})))
	require.NoError(t, err)
}

// TestKeyRotation: a new key is found when it is first used, but made-up key names do not make us ask all the time.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.provider
	hidden := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.hidden, KeyID: "hidden"}}
	for range 20 {
		_, err := b.bearer(p.sign(hidden, p.claims(b.clock.Now(), nil)))
		requireCode(t, errs.Unauthenticated, err)
	}
	require.Equal(t, int32(1), p.keysAsked.Load())
	p.mu.Lock()
	p.revealed = true
	p.mu.Unlock()
	b.clock.Advance(2 * time.Second)
	_, err := b.bearer(p.sign(hidden, p.claims(b.clock.Now(), nil)))
	require.NoError(t, err)
	require.Equal(t, int32(2), p.keysAsked.Load())

	// A withdrawn key is forgotten; while the provider is away, keys count for a day.
	p.mu.Lock()
	p.revealed = false
	p.mu.Unlock()
	b.clock.Advance(15 * time.Minute)
	_, err = b.bearer(p.sign(hidden, p.claims(b.clock.Now(), nil)))
	requireCode(t, errs.Unauthenticated, err)
	p.down.Store(true)
	b.clock.Advance(23 * time.Hour)
	_, err = b.bearer(p.sign(p.rsaKey(), p.claims(b.clock.Now(), nil)))
	require.NoError(t, err)
	b.clock.Advance(2 * time.Hour)
	_, err = b.bearer(p.sign(p.rsaKey(), p.claims(b.clock.Now(), nil)))
	requireCode(t, errs.Unavailable, err)
}

// TestEmailFromUserinfo: an access token without e-mail address is completed once.
func TestEmailFromUserinfo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.provider
	bare := p.sign(p.rsaKey(), p.claims(b.clock.Now(), map[string]any{"email": nil, "name": nil, "roles": nil}))
	p.userinfo = map[string]any{"sub": "sub-ann", "email": "ann@example.com", "email_verified": true, "given_name": "Ann", "family_name": "Lee", "roles": []string{"operator"}}
	for range 3 {
		who, err := b.bearer(bare)
		require.NoError(t, err)
		require.Equal(t, []string{"customer"}, who.GetRoles(), "a token's roles are those in it, each time")
	}
	require.Equal(t, int32(1), p.userinfoAsked.Load())
	require.Equal(t, "ann@example.com", b.users.ensured()[0].GetEmail())
	require.Equal(t, "Ann Lee", b.users.ensured()[0].GetName())

	// What userinfo says about somebody else does not count.
	other := p.sign(p.rsaKey(), p.claims(b.clock.Now(), map[string]any{"sub": "sub-bob", "email": nil}))
	_, err := b.bearer(other)
	require.NoError(t, err)
	require.Empty(t, b.users.ensured()[1].GetEmail())
}
