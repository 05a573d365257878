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

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

func TestAccessTokenNamesItsUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	p := h.provider
	for name, key := range map[string]jose.SigningKey{
		"RS256": p.rsaKey(),
		"ES256": {Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.ec, KeyID: "ec"}},
		"EdDSA": {Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: p.ed, KeyID: "ed"}},
	} {
		who, err := h.bearer(p.sign(key, p.claims(h.clock.Now(), nil)))
		require.NoError(t, err, name)
		require.Equal(t, "user", who.GetKind())
		require.Equal(t, h.users.ids[p.URL+" sub-ann"], who.GetSubjectId())
		require.Equal(t, []string{"customer", "seller"}, who.GetRoles())
		require.WithinDuration(t, h.clock.Now().Add(time.Minute), who.GetReusableUntil().AsTime(), time.Second)
	}
	require.Len(t, h.users.ensured(), 1, "the user is known from then on")
	require.Equal(t, int32(1), p.keysAsked.Load())
	require.Zero(t, p.userinfoAsked.Load(), "the token holds all claims")

	// An answer is not reusable after the token's end.
	who, err := h.bearer(
		p.sign(p.rsaKey(), p.claims(h.clock.Now(), map[string]any{"exp": h.clock.Now().Add(10 * time.Second).Unix()})),
	)
	require.NoError(t, err)
	require.WithinDuration(t, h.clock.Now().Add(10*time.Second), who.GetReusableUntil().AsTime(), time.Second)

	// A new e-mail address reaches the user service within minutes.
	h.clock.Advance(6 * time.Minute)
	_, err = h.bearer(p.sign(p.rsaKey(), p.claims(h.clock.Now(), map[string]any{"email": "ann@new.example"})))
	require.NoError(t, err)
	require.Equal(t, "ann@new.example", h.users.ensured()[1].GetEmail())
	require.NotNil(t, h.users.ensured()[1].GetIssuedAt())
}

func TestRolesAreReadFromEitherClaim(t *testing.T) {
	t.Parallel()
	h := setup(t)
	zitadel := "urn:zitadel:iam:org:project:roles"
	for name, c := range map[string]struct {
		claims map[string]any
		want   []string
	}{
		"none": {map[string]any{"roles": nil}, []string{"customer"}},
		"list": {
			map[string]any{"roles": []string{"operator", "customer"}}, []string{"customer", "operator"},
		},
		"text":       {map[string]any{"roles": "seller operator"}, []string{"customer", "seller", "operator"}},
		"unknown":    {map[string]any{"roles": []any{"root", 7, nil, "Operator"}}, []string{"customer"}},
		"wrong type": {map[string]any{"roles": 7}, []string{"customer"}},
		"Zitadel's object": {
			map[string]any{"roles": nil, zitadel: map[string]any{"operator": map[string]any{"2391": "souk.example"}}},
			[]string{"customer", "operator"},
		},
		"both": {
			map[string]any{"roles": []string{"seller"}, zitadel: map[string]any{"operator": map[string]any{}}},
			[]string{"customer", "seller", "operator"},
		},
	} {
		who, err := h.bearer(h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), c.claims)))
		require.NoError(t, err, name)
		require.Equal(t, c.want, who.GetRoles(), name)
	}
}

func TestInvalidTokensAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	p, now := h.provider, h.clock.Now()
	good := p.sign(p.rsaKey(), p.claims(now, nil))
	_, err := h.bearer(good)
	require.NoError(t, err)
	parts := strings.Split(good, ".")
	head := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	der, err := x509.MarshalPKIXPublicKey(p.rsa.Public())
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	signed := func(change map[string]any) string { return p.sign(p.rsaKey(), p.claims(now, change)) }
	guest, err := h.auth.CreateGuest(t.Context(), &authv1.CreateGuestRequest{})
	require.NoError(t, err)
	guestParts := strings.Split(guest.GetToken(), ".")
	idToken := signed(map[string]any{"nonce": "n"})

	for name, token := range map[string]string{
		"expired":              signed(map[string]any{"exp": now.Add(-31 * time.Second).Unix()}),
		"no exp":               signed(map[string]any{"exp": nil}),
		"not yet":              signed(map[string]any{"nbf": now.Add(40 * time.Second).Unix()}),
		"made in the future":   signed(map[string]any{"iat": now.Add(time.Hour).Unix()}),
		"foreign issuer":       signed(map[string]any{"iss": "https://evil.example"}),
		"foreign audience":     signed(map[string]any{"aud": "other"}),
		"audience of ID token": signed(map[string]any{"aud": clientID}),
		"no audience":          signed(map[string]any{"aud": nil}),
		"no subject":           signed(map[string]any{"sub": nil}),
		"huge subject":         signed(map[string]any{"sub": strings.Repeat("x", 256)}),
		"wrong claim types":    signed(map[string]any{"exp": true}),
		"ID token":             idToken,
		"alg none":             head(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".",
		"alg None":             head(`{"alg":"None","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"no alg":               head(`{"typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key": p.sign(
			jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: public, KeyID: "rsa"}},
			p.claims(now, nil)),
		"HS256 with the modulus": p.sign(
			jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: p.rsa.N.Bytes(), KeyID: "rsa"}},
			p.claims(now, nil)),
		"other key, same kid": p.sign(
			jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: foreign, KeyID: "rsa"}},
			p.claims(now, nil)),
		"other key, no kid": p.sign(jose.SigningKey{Algorithm: jose.RS256, Key: foreign}, p.claims(now, nil)),
		"other key, unknown kid": p.sign(
			jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: foreign, KeyID: "evil"}},
			p.claims(now, nil)),
		"right key, other algorithm": p.sign(
			jose.SigningKey{Algorithm: jose.PS256, Key: jose.JSONWebKey{Key: p.rsa, KeyID: "rsa"}},
			p.claims(now, nil)),
		"key in the header":        head(`{"alg":"RS256","jwk":{"kty":"RSA","e":"AQAB","n":"AQAB"}}`) + "." + parts[1] + "." + parts[2],
		"another type":             head(`{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`) + "." + parts[1] + "." + parts[2],
		"signature cut":            good[:len(good)-8],
		"no signature":             parts[0] + "." + parts[1] + ".",
		"payload changed":          parts[0] + "." + head(`{"sub":"sub-root"}`) + "." + parts[2],
		"malformed":                "not a token",
		"dots":                     "..",
		"four parts":               good + ".x",
		"not UTF-8 inside":         head("\xff\xfe") + "." + head("\xff") + "." + head("\xff"),
		"huge":                     good + strings.Repeat("A", 1<<20),
		"deep JSON":                head(strings.Repeat("[", 5000)) + "." + parts[1] + "." + parts[2],
		"JSON serialization":       `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"guest, tampered":          guestParts[0] + "." + head(`{"iss":"souk","aud":"souk-guest","sub":"gst_1","exp":9999999999}`) + "." + guestParts[2],
		"guest header on a user's": guestParts[0] + "." + parts[1] + "." + parts[2],
		"guest, alg none":          head(`{"alg":"none","typ":"souk-guest+jwt"}`) + "." + guestParts[1] + ".",
	} {
		_, err := h.bearer(token)
		requireCode(t, errs.Unauthenticated, err)
		require.NotContains(t, err.Error(), "audience", name)
		require.Contains(t, err.Error(), "sign in", name)
	}
	// Clocks may differ a little.
	for _, change := range []map[string]any{
		{"exp": now.Add(-29 * time.Second).Unix()}, {"nbf": now.Add(29 * time.Second).Unix()},
	} {
		who, err := h.bearer(signed(change))
		require.NoError(t, err)
		require.NotNil(t, who)
	}
}

// TestIDTokenIsNoAccessToken, even if both have the same audience.
func TestIDTokenIsNoAccessToken(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"audience": clientID}))
	p := h.provider
	both := []string{clientID, "api"}
	for name, c := range map[string]struct {
		typ    jose.ContentType
		claims map[string]any
		is     bool // an access token
	}{
		"by its type":              {"at+jwt", map[string]any{"aud": clientID}, true},
		"by its media type":        {"application/AT+JWT", map[string]any{"aud": clientID, "at_hash": "x"}, true},
		"for an API":               {"JWT", map[string]any{"aud": both}, true},
		"without a type":           {"", map[string]any{"aud": both}, true},
		"for the client only":      {"JWT", map[string]any{"aud": clientID}, false},
		"for the client, twice":    {"JWT", map[string]any{"aud": []string{clientID, clientID}}, false},
		"for the client, untyped":  {"", map[string]any{"aud": []string{clientID}}, false},
		"with a nonce":             {"JWT", map[string]any{"aud": both, "nonce": "x"}, false},
		"with at_hash":             {"JWT", map[string]any{"aud": both, "at_hash": "x"}, false},
		"with c_hash, untyped":     {"", map[string]any{"aud": both, "c_hash": "x"}, false},
		"with another type's name": {"id_token+jwt", map[string]any{"aud": both}, false},
	} {
		_, err := h.bearer(p.signAs(p.rsaKey(), c.typ, p.claims(h.clock.Now(), c.claims)))
		if c.is {
			require.NoError(t, err, name)
			continue
		}
		require.Error(t, err, name)
		requireCode(t, errs.Unauthenticated, err)
		if c.typ != "id_token+jwt" {
			require.Contains(t, err.Error(), "this is an ID token", name)
		}
	}
}

// TestNewKeyIsFetchedWhenFirstUsed also checks that unknown key IDs do not cause a fetch each.
func TestNewKeyIsFetchedWhenFirstUsed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	p := h.provider
	hidden := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.hidden, KeyID: "hidden"}}
	for range 20 {
		_, err := h.bearer(p.sign(hidden, p.claims(h.clock.Now(), nil)))
		requireCode(t, errs.Unauthenticated, err)
	}
	require.Equal(t, int32(1), p.keysAsked.Load())
	p.mu.Lock()
	p.revealed = true
	p.mu.Unlock()
	h.clock.Advance(2 * time.Second)
	_, err := h.bearer(p.sign(hidden, p.claims(h.clock.Now(), nil)))
	require.NoError(t, err)
	require.Equal(t, int32(2), p.keysAsked.Load())

	// A withdrawn key is dropped. While the provider is down, known keys remain valid for a day.
	p.mu.Lock()
	p.revealed = false
	p.mu.Unlock()
	h.clock.Advance(15 * time.Minute)
	_, err = h.bearer(p.sign(hidden, p.claims(h.clock.Now(), nil)))
	requireCode(t, errs.Unauthenticated, err)
	p.down.Store(true)
	h.clock.Advance(23 * time.Hour)
	_, err = h.bearer(p.sign(p.rsaKey(), p.claims(h.clock.Now(), nil)))
	require.NoError(t, err)
	h.clock.Advance(2 * time.Hour)
	_, err = h.bearer(p.sign(p.rsaKey(), p.claims(h.clock.Now(), nil)))
	requireCode(t, errs.Unavailable, err)
}

// TestMissingEmailIsReadFromUserinfo: an access token without e-mail address is completed once.
func TestMissingEmailIsReadFromUserinfo(t *testing.T) {
	t.Parallel()
	h := setup(t)
	p := h.provider
	bare := p.sign(p.rsaKey(), p.claims(h.clock.Now(), map[string]any{"email": nil, "name": nil, "roles": nil}))
	p.userinfo = map[string]any{
		"sub":            "sub-ann",
		"email":          "ann@example.com",
		"email_verified": true,
		"given_name":     "Ann",
		"family_name":    "Lee",
		"roles":          []string{"operator"},
	}
	for range 3 {
		who, err := h.bearer(bare)
		require.NoError(t, err)
		require.Equal(t, []string{"customer"}, who.GetRoles(),
			"a token has only the roles in its claims, at every call")
	}
	require.Equal(t, int32(1), p.userinfoAsked.Load())
	require.Equal(t, "ann@example.com", h.users.ensured()[0].GetEmail())
	require.Equal(t, "Ann Lee", h.users.ensured()[0].GetName())

	// Userinfo about another subject is ignored.
	other := p.sign(p.rsaKey(), p.claims(h.clock.Now(), map[string]any{"sub": "sub-bob", "email": nil}))
	_, err := h.bearer(other)
	require.NoError(t, err)
	require.Empty(t, h.users.ensured()[1].GetEmail())
}
