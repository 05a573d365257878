package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"souk/pkg/clock"
	"souk/pkg/errs"
)

const (
	audience = "souk-internal"
	// maxTTL is the longest life of a token that a Verifier accepts.
	maxTTL = time.Hour
	// skew is how far the clocks of two machines may be apart.
	skew = 30 * time.Second
	// maxToken bounds what is parsed at all.
	maxToken = 4096
	// maxCached bounds the caches of signed and of verified tokens.
	maxCached = 4096
)

type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub,omitempty"`
	Kind     Kind     `json:"kind"`
	Roles    []string `json:"roles,omitempty"`
	Audience string   `json:"aud"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
}

// DeriveKey derives a service's signing key from the seed that all services of an installation
// share, by HKDF-SHA256. Where services must not be able to speak for each other, each gets a key
// of its own instead.
func DeriveKey(seed []byte, service string) ed25519.PrivateKey {
	key, err := hkdf.Key(sha256.New, seed, nil, "souk identity "+service, ed25519.SeedSize)
	if err != nil {
		// HKDF refuses only lengths beyond 255 hashes, and in FIPS mode seeds under 112 bits. The zero
		// key verifies nowhere that has the right one.
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
	known  *Verifier // of the same process, or nil
}

type signed struct {
	token   string
	expires time.Time
}

// NewSigner makes a Signer for the service issuer whose tokens live for ttl, at most an hour.
func NewSigner(issuer string, key ed25519.PrivateKey, ttl time.Duration, c clock.Clock) *Signer {
	jws, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: issuer}},
		(&jose.SignerOptions{}).WithType("JWT"))
	return &Signer{issuer: issuer, jws: jws, err: err, ttl: min(ttl, maxTTL), clock: c, cache: newCache[string, signed](maxCached)}
}

// Sign returns a token for the actor and the time until which it is valid. A token is used again for the same actor
// until a quarter of its life is left. It fails with errs.Internal when the key cannot sign.
func (s *Signer) Sign(a Actor) (token string, expires time.Time, err error) {
	now := s.clock.Now()
	key := string(a.Kind) + "\x00" + a.ID
	if len(a.Roles) > 0 {
		key += "\x00" + strings.Join(a.Roles, "\x00")
	}
	if t, ok := s.cache.get(key); ok && now.Add(s.ttl/4).Before(t.expires) && !t.expires.After(now.Add(s.ttl)) { // the clock may have been set back
		return t.token, t.expires, nil
	}
	if s.err != nil {
		return "", time.Time{}, errs.Wrap(s.err, errs.Internal, "the identity key cannot sign")
	}
	expires = now.Add(s.ttl).Truncate(time.Second)
	c := claims{
		Issuer: s.issuer, Subject: a.ID, Kind: a.Kind, Roles: a.Roles,
		Audience: audience, IssuedAt: now.Unix(), Expires: expires.Unix(),
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
	if s.known != nil {
		// What is wrong with it is said when it is verified.
		_, _ = s.known.accept(sha256.Sum256([]byte(token)), c, now)
	}
	return token, expires, nil
}

// Word is what a Signer says of a caller. It is signed when it leaves the process, and most words don't: a signature takes 25 µs,
// and what is signed is kept. Only a Signer makes one.
type Word struct {
	signer *Signer
	actor  Actor
	said   time.Time
}

// Say returns the signer's word that it is the actor who calls. It is worth as much, and for as long, as a token.
func (s *Signer) Say(a Actor) *Word {
	a.Roles = slices.Clip(a.Roles)
	return &Word{signer: s, actor: a, said: s.clock.Now()}
}

// Token returns a token that says the same. Its errors are those of [Signer.Sign], and errs.Unauthenticated for a word as old
// as a token gets.
func (w *Word) Token() (string, error) {
	if s := w.signer; !s.clock.Now().Before(w.said.Add(s.ttl)) {
		return "", refuse("it has expired")
	}
	token, _, err := w.signer.Sign(w.actor)
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
	expires time.Time
}

// NewVerifier makes a Verifier that trusts the services in keys.
func NewVerifier(keys map[string]ed25519.PublicKey, c clock.Clock) *Verifier {
	return &Verifier{keys: keys, clock: c, cache: newCache[[sha256.Size]byte, verified](maxCached)}
}

// Signer makes a Signer whose words and tokens v knows without verifying them: the two are in one process. It refuses all
// the same what it would refuse from elsewhere. The other arguments are those of [NewSigner].
func (v *Verifier) Signer(issuer string, key ed25519.PrivateKey, ttl time.Duration) *Signer {
	s := NewSigner(issuer, key, ttl, v.clock)
	if trusted, ok := v.keys[issuer]; ok && trusted.Equal(key.Public()) {
		s.known = v
	}
	return s
}

// Verify returns whom the token asserts. A token that is malformed, forged, expired, meant for
// somebody else or of an issuer that may not assert its subject fails with errs.Unauthenticated. The
// answer is remembered by the token's digest until the token expires.
func (v *Verifier) Verify(token string) (Actor, error) {
	now := v.clock.Now()
	digest := sha256.Sum256([]byte(token))
	if known, ok := v.cache.get(digest); ok {
		if !now.Before(known.expires) {
			return Actor{}, refuse("it has expired")
		}
		return known.actor, nil
	}
	c, err := v.parse(token)
	if err != nil {
		return Actor{}, err
	}
	return v.accept(digest, c, now)
}

// Believe returns whom the word asserts. That of a Signer of the verifier's own process needs no signature, any other's
// token is verified; it refuses what [Verifier.Verify] would.
func (v *Verifier) Believe(w *Word) (Actor, error) {
	s := w.signer
	if s.known != v {
		token, err := w.Token()
		if err != nil {
			return Actor{}, err
		}
		return v.Verify(token)
	}
	c := claims{
		Issuer: s.issuer, Subject: w.actor.ID, Kind: w.actor.Kind, Roles: w.actor.Roles,
		Audience: audience, IssuedAt: w.said.Unix(), Expires: w.said.Add(s.ttl).Unix(),
	}
	if err := check(c, v.clock.Now()); err != nil {
		return Actor{}, err
	}
	return w.actor, nil
}

// accept checks the claims of a token with a good signature, and remembers whom it asserts.
func (v *Verifier) accept(digest [sha256.Size]byte, c claims, now time.Time) (Actor, error) {
	if err := check(c, now); err != nil {
		return Actor{}, err
	}
	actor := Actor{Kind: c.Kind, ID: c.Subject, Roles: slices.Clip(c.Roles)}
	expires := time.Unix(c.Expires, 0)
	v.cache.put(digest, verified{actor: actor, expires: expires}, func(k verified) bool { return !now.Before(k.expires) })
	return actor, nil
}

// check refuses claims that do not hold at the time.
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

// parse returns the claims of a token that its issuer signed.
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

func mayAssert(c claims) bool {
	switch c.Kind {
	case KindService:
		return c.Subject == c.Issuer && len(c.Roles) == 0
	case KindUser:
		return c.Issuer == Gateway && c.Subject != ""
	case KindGuest:
		return c.Issuer == Gateway && c.Subject != "" && len(c.Roles) == 0
	case KindAnonymous:
		return c.Issuer == Gateway && c.Subject == "" && len(c.Roles) == 0
	default:
		return false
	}
}

func refuse(why string) error {
	return errs.New(errs.Unauthenticated, "the identity token is not valid: %s", why)
}
