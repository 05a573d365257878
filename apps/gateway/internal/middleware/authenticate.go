package middleware

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/rpc"

	"google.golang.org/grpc"
)

// Authenticator is the part of the auth service that Authenticate calls.
type Authenticator interface {
	Authenticate(
		ctx context.Context, in *authv1.AuthenticateRequest, opts ...grpc.CallOption,
	) (*authv1.AuthenticateResponse, error)
}

// Authenticate identifies the caller by a bearer token or the session cookie, and puts the actor and the
// gateway's assertion of it into the context. An invalid bearer token is 401 even on a public route; an ended
// session leaves the caller anonymous. A refused credential counts against the limit of its sender's address.
//
// A bearer token's answer is kept until the time that the auth service names, a minute at most. A session is
// checked at every request, so that a logout takes effect at once. What the roles of a user allow is looked up in
// permissions at every request, so that a change takes effect at once, too.
func Authenticate(
	auth Authenticator, signer *identity.Signer, cookie string, c clock.Clock, limits Limits,
	permissions func(roles []string) []string,
) Middleware {
	known := &knownBearers{clock: c, entries: map[[sha256.Size]byte]knownBearer{}}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			actor := identity.Actor{Kind: identity.KindAnonymous}
			var err error
			if header := r.Header.Get("Authorization"); header != "" {
				actor, err = bearer(r.Context(), auth, known, header)
			} else if ck, cerr := r.Cookie(cookie); cerr == nil && ck.Value != "" {
				actor, _, err = authenticate(
					r.Context(), auth,
					&authv1.AuthenticateRequest{Credential: &authv1.AuthenticateRequest_SessionId{SessionId: ck.Value}},
				)
				if errs.Is(err, errs.Unauthenticated) {
					// An old cookie must not keep a browser from public routes. A service refuses where a
					// caller is required.
					actor, err = identity.Actor{Kind: identity.KindAnonymous}, nil
				}
			}
			if errs.Is(err, errs.Unauthenticated) {
				if limited := limits.takeByAddress(r, 1); limited != nil {
					err = limited
				}
			}
			if err != nil {
				WriteProblem(w, r, err)
				return
			}
			if actor.IsUser() {
				actor.Permissions = permissions(actor.Roles)
			}
			From(r.Context()).Actor = actor
			ctx := identity.WithAssertion(identity.NewContext(r.Context(), actor), signer.Assert(actor))
			if actor.IsUser() || actor.IsKey() { // for the audit trail
				ctx = rpc.WithAddress(ctx, ClientAddress(r, limits.Trusted))
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

func bearer(ctx context.Context, auth Authenticator, known *knownBearers, header string) (identity.Actor, error) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return identity.Actor{}, errs.New(errs.Unauthenticated,
			"the Authorization header is not of the form: Bearer TOKEN")
	}
	digest := sha256.Sum256([]byte(token))
	if a, ok := known.get(digest); ok {
		return a, nil
	}
	actor, until, err := authenticate(ctx, auth,
		&authv1.AuthenticateRequest{Credential: &authv1.AuthenticateRequest_Bearer{Bearer: token}})
	if err != nil {
		return identity.Actor{}, err
	}
	known.put(digest, actor, until)
	return actor, nil
}

func authenticate(
	ctx context.Context, auth Authenticator, req *authv1.AuthenticateRequest,
) (identity.Actor, time.Time, error) {
	res, err := auth.Authenticate(ctx, req)
	if err != nil {
		return identity.Actor{}, time.Time{}, err
	}
	actor := identity.Actor{ID: res.GetSubjectId(), Roles: res.GetRoles()}
	switch res.GetKind() {
	case string(identity.KindUser):
		actor.Kind = identity.KindUser
	case string(identity.KindGuest):
		actor.Kind = identity.KindGuest
	default:
		return identity.Actor{}, time.Time{}, errs.New(errs.Unauthenticated, "this credential names nobody")
	}
	var until time.Time
	if res.GetReusableUntil() != nil {
		until = res.GetReusableUntil().AsTime()
	}
	return actor, until, nil
}

const (
	bearerTTL     = time.Minute
	maxBearers    = 10_000
	purgedBearers = maxBearers / 10
)

type knownBearer struct {
	actor identity.Actor
	until time.Time
}

// knownBearers caches the actors of bearer tokens by the tokens' digests.
type knownBearers struct {
	clock   clock.Clock
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]knownBearer
}

func (k *knownBearers) get(digest [sha256.Size]byte) (identity.Actor, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	e, ok := k.entries[digest]
	if !ok || !k.clock.Now().Before(e.until) {
		return identity.Actor{}, false
	}
	return e.actor, true
}

func (k *knownBearers) put(digest [sha256.Size]byte, a identity.Actor, until time.Time) {
	now := k.clock.Now()
	if limit := now.Add(bearerTTL); until.After(limit) {
		until = limit
	}
	if !until.After(now) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.entries) >= maxBearers {
		n := 0
		for d, e := range k.entries {
			if n < purgedBearers || !now.Before(e.until) {
				delete(k.entries, d)
				n++
			}
		}
	}
	k.entries[digest] = knownBearer{actor: a, until: until}
}
