package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"souk/pkg/clock"
	"souk/pkg/errs"
)

const (
	audience = "souk-internal"
	// maxTTL is the longest lifetime of a token that a Verifier accepts.
	maxTTL = time.Hour
	// skew is the tolerated difference between the clocks of two machines.
	skew = 30 * time.Second
	// maxToken is the maximum length of a token in bytes.
	maxToken = 4096
	// maxCached is the maximum number of entries in the caches of signed and of verified tokens.
	maxCached = 4096
)

type claims struct {
	Issuer  string   `json:"iss"`
	Subject string   `json:"sub,omitempty"`
	Kind    Kind     `json:"kind"`
	Roles   []string `json:"roles,omitempty"`
	// Permissions, ShopID, SessionID and RecentUntil are those of the Actor.
	Permissions []string `json:"perms,omitempty"`
	ShopID      string   `json:"shop,omitempty"`
	SessionID   string   `json:"sid,omitempty"`
	RecentUntil int64    `json:"rec,omitempty"`
	Audience    string   `json:"aud"`
	Method      string   `json:"mth"`
	IssuedAt    int64    `json:"iat"`
	Expires     int64    `json:"exp"`
}

// DeriveKey derives a service's signing key, with HKDF-SHA256, from the seed that all services of an installation
// share. If services must not be able to impersonate each other, each needs a key of its own instead.
func DeriveKey(seed []byte, service string) ed25519.PrivateKey {
	key, err := hkdf.Key(sha256.New, seed, nil, "souk identity "+service, ed25519.SeedSize)
	if err != nil {
		// HKDF refuses only lengths above 255 hashes and, in FIPS mode, seeds under 112 bits. Signatures of
		// the zero key are rejected by every service that has the right key.
		key = make([]byte, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(key)
}

// Signer signs tokens in the name of one service.
type Signer struct {
	issuer string
	jws    jose.Signer
	err    error
	ttl    time.Duration
	clock  clock.Clock
	cache  *cache[string, signed]
	local  *Verifier // a verifier in the same process that trusts the key, or nil
}

type signed struct {
	token   string
	expires time.Time
}

// NewSigner returns a Signer for the service issuer. Its tokens are valid for ttl, at most an hour.
func NewSigner(issuer string, key ed25519.PrivateKey, ttl time.Duration, c clock.Clock) *Signer {
	jws, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: issuer}},
		(&jose.SignerOptions{}).WithType("JWT"))
	return &Signer{
		issuer: issuer,
		jws:    jws,
		err:    err,
		ttl:    min(ttl, maxTTL),
		clock:  c,
		cache:  newCache[string, signed](maxCached),
	}
}

// Sign returns a token for calls of a method by the actor, and its expiry. No other method accepts the token, so a
// service that is called cannot use it anywhere else. It reuses the last token of actor and method until a quarter of
// the token's lifetime is left.
//
// Errors: internal (the key cannot sign).
func (s *Signer) Sign(a Actor, method string) (token string, expires time.Time, err error) {
	now := s.clock.Now()
	key := method + "\x00" + string(a.Kind) + "\x00" + a.ID
	if len(a.Roles) > 0 {
		key += "\x00" + strings.Join(a.Roles, "\x00")
	}
	if len(a.Permissions) > 0 || a.ShopID != "" { // \x01, so that no role is taken for a permission
		key += "\x01" + a.ShopID + "\x00" + strings.Join(a.Permissions, "\x00")
	}
	recent := seconds(a.RecentUntil)
	if a.SessionID != "" || recent != 0 {
		key += "\x02" + a.SessionID + "\x00" + strconv.FormatInt(recent, 10)
	}
	if t, ok := s.cache.get(key); ok && now.Add(s.ttl/4).Before(t.expires) &&
		!t.expires.After(now.Add(s.ttl)) { // otherwise the clock was set back
		return t.token, t.expires, nil
	}
	if s.err != nil {
		return "", time.Time{}, errs.Wrap(s.err, errs.Internal, "the identity key cannot sign")
	}
	expires = now.Add(s.ttl).Truncate(time.Second)
	c := claims{
		Issuer: s.issuer, Subject: a.ID, Kind: a.Kind, Roles: a.Roles, Permissions: a.Permissions, ShopID: a.ShopID,
		SessionID: a.SessionID, RecentUntil: recent,
		Audience: audience, Method: method, IssuedAt: now.Unix(), Expires: expires.Unix(),
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", time.Time{}, errs.Wrap(err, errs.Internal, "the identity cannot be signed")
	}
	object, err := s.jws.Sign(payload)
	if err != nil {
		return "", time.Time{}, errs.Wrap(err, errs.Internal, "the identity cannot be signed")
	}
	if token, err = object.CompactSerialize(); err != nil {
		return "", time.Time{}, errs.Wrap(err, errs.Internal, "the identity cannot be signed")
	}
	s.cache.put(key, signed{token: token, expires: expires}, func(t signed) bool { return !now.Before(t.expires) })
	if s.local != nil {
		// Ignored, because Verify reports the error.
		_, _ = s.local.accept(sha256.Sum256([]byte(token)), c, now)
	}
	return token, expires, nil
}

// assertionTTL is how long an assertion is valid: longer than any request, since it never leaves the process.
const assertionTTL = 5 * time.Minute

// Assertion is a Signer's unsigned statement of a call's actor. It is signed only when it leaves the process, which
// most assertions don't: a signature takes 25 µs, and tokens fill the caches. Only a Signer can create one.
type Assertion struct {
	signer *Signer
	actor  Actor
	issued time.Time
}

// Assert returns an assertion that a is the actor. It is valid for 5 minutes. Tokens that are made from it live as long
// as all others.
func (s *Signer) Assert(a Actor) *Assertion {
	a.Roles, a.Permissions = slices.Clip(a.Roles), slices.Clip(a.Permissions)
	return &Assertion{signer: s, actor: a, issued: s.clock.Now()}
}

// Token returns a token with the same content for calls of a method.
//
// Errors: unauthenticated (the assertion has expired), those of [Signer.Sign].
func (a *Assertion) Token(method string) (string, error) {
	if !a.signer.clock.Now().Before(a.issued.Add(assertionTTL)) {
		return "", refuse("it has expired")
	}
	token, _, err := a.signer.Sign(a.actor, method)
	return token, err
}

// Verifier checks tokens of the services whose public keys it knows.
type Verifier struct {
	keys  map[string]ed25519.PublicKey
	clock clock.Clock
	cache *cache[[sha256.Size]byte, verified]
}

type verified struct {
	actor   Actor
	method  string
	expires time.Time
}

// NewVerifier returns a Verifier that trusts the services in keys.
func NewVerifier(keys map[string]ed25519.PublicKey, c clock.Clock) *Verifier {
	return &Verifier{keys: keys, clock: c, cache: newCache[[sha256.Size]byte, verified](maxCached)}
}

// Signer returns a Signer in the same process, whose assertions and tokens v accepts without checking a signature.
// All other checks still apply. The arguments are those of [NewSigner].
func (v *Verifier) Signer(issuer string, key ed25519.PrivateKey, ttl time.Duration) *Signer {
	s := NewSigner(issuer, key, ttl, v.clock)
	if trusted, ok := v.keys[issuer]; ok && trusted.Equal(key.Public()) {
		s.local = v
	}
	return s
}

// Verify returns the actor that the token asserts for a call of the method. It caches the result by the token's digest
// until the token expires.
//
// Errors: unauthenticated (the token is malformed, forged, expired, for another audience or method, or its issuer may
// not assert its subject).
func (v *Verifier) Verify(token, method string) (Actor, error) {
	now := v.clock.Now()
	digest := sha256.Sum256([]byte(token))
	if known, ok := v.cache.get(digest); ok {
		if !now.Before(known.expires) {
			return Actor{}, refuse("it has expired")
		}
		return known.actor, checkMethod(known.method, method)
	}
	c, err := v.parse(token)
	if err != nil {
		return Actor{}, err
	}
	actor, err := v.accept(digest, c, now)
	if err != nil {
		return Actor{}, err
	}
	return actor, checkMethod(c.Method, method)
}

func checkMethod(signed, called string) error {
	if signed != called {
		return refuse("it is for another method")
	}
	return nil
}

// VerifyAssertion returns the actor of the assertion for a call of the method. An assertion of a Signer made by v needs
// no signature; for any other it verifies the token.
//
// Errors: those of [Verifier.Verify] and [Assertion.Token].
func (v *Verifier) VerifyAssertion(a *Assertion, method string) (Actor, error) {
	s := a.signer
	if s.local != v {
		token, err := a.Token(method)
		if err != nil {
			return Actor{}, err
		}
		return v.Verify(token, method)
	}
	c := claims{
		Issuer: s.issuer, Subject: a.actor.ID, Kind: a.actor.Kind, Roles: a.actor.Roles,
		Permissions: a.actor.Permissions, ShopID: a.actor.ShopID, SessionID: a.actor.SessionID,
		RecentUntil: seconds(a.actor.RecentUntil),
		Audience:    audience, IssuedAt: a.issued.Unix(), Expires: a.issued.Add(assertionTTL).Unix(),
	}
	if err := check(c, v.clock.Now()); err != nil {
		return Actor{}, err
	}
	return a.actor, nil
}

// accept checks the claims of a token whose signature is valid, and caches its actor.
func (v *Verifier) accept(digest [sha256.Size]byte, c claims, now time.Time) (Actor, error) {
	if err := check(c, now); err != nil {
		return Actor{}, err
	}
	actor := Actor{
		Kind:        c.Kind,
		ID:          c.Subject,
		Roles:       slices.Clip(c.Roles),
		Permissions: slices.Clip(c.Permissions),
		ShopID:      c.ShopID,
		SessionID:   c.SessionID,
	}
	if c.RecentUntil != 0 {
		actor.RecentUntil = time.Unix(c.RecentUntil, 0).UTC()
	}
	expires := time.Unix(c.Expires, 0)
	v.cache.put(digest, verified{actor: actor, method: c.Method, expires: expires},
		func(k verified) bool { return !now.Before(k.expires) })
	return actor, nil
}

// check returns an error if the claims are not valid at the time now.
func check(c claims, now time.Time) error {
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	switch {
	case c.Audience != audience:
		return refuse("its audience is another")
	case !now.Before(expires):
		return refuse("it has expired")
	case issued.After(now.Add(skew)):
		return refuse("it is from the future")
	case expires.Sub(issued) > maxTTL:
		return refuse("it lives too long")
	case !mayAssert(c):
		return refuse("its issuer may not assert its subject")
	}
	return nil
}

// parse checks a token's signature and returns its claims.
func (v *Verifier) parse(token string) (claims, error) {
	if len(token) > maxToken {
		return claims{}, refuse("it is too long")
	}
	object, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(object.Signatures) != 1 {
		return claims{}, refuse("it is malformed")
	}
	issuer := object.Signatures[0].Protected.KeyID
	key, ok := v.keys[issuer]
	if !ok {
		return claims{}, refuse("its issuer is unknown")
	}
	payload, err := object.Verify(key)
	if err != nil {
		return claims{}, refuse("its signature is wrong")
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil || c.Issuer != issuer {
		return claims{}, refuse("its claims are malformed")
	}
	return c, nil
}

// mayAssert reports whether the issuer of the claims may assert their subject.
func mayAssert(c claims) bool {
	grants := len(c.Roles) > 0 || len(c.Permissions) > 0
	if (c.ShopID != "") != (c.Kind == KindKey) ||
		(c.SessionID != "" || c.RecentUntil != 0) && c.Kind != KindUser {
		return false
	}
	switch c.Kind {
	case KindService:
		return c.Subject == c.Issuer && !grants
	case KindUser:
		return c.Issuer == Gateway && c.Subject != ""
	case KindKey:
		return c.Issuer == Gateway && c.Subject != "" && len(c.Roles) == 0
	case KindGuest:
		return c.Issuer == Gateway && c.Subject != "" && !grants
	case KindAnonymous:
		return c.Issuer == Gateway && c.Subject == "" && !grants
	default:
		return false
	}
}

// seconds returns a time in Unix seconds; the zero time is 0.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func refuse(why string) error {
	return errs.New(errs.Unauthenticated, "the identity token is not valid: %s", why)
}
