package middleware

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/netip"
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
// A session is checked at every request, and a bearer token once a second at most, so that a sign-out, a suspension and
// the deletion of an API key take effect everywhere within a second. While the auth service does not answer, what it
// said of an access token holds until the time that it named, a minute at most. What the roles of a user allow is looked
// up in permissions at every request, so that a change takes effect at once, too.
func Authenticate(
	auth Authenticator, signer *identity.Signer, cookie string, c clock.Clock, limits Limits,
	permissions func(roles []string) []string,
) Middleware {
	known := &knownBearers{clock: c, entries: map[[sha256.Size]byte]knownBearer{}}
	identify := func(ctx context.Context, r *http.Request) (credential, error) {
		if header := r.Header.Get("Authorization"); header != "" {
			address := ClientAddress(r, limits.Trusted)
			who, err := bearer(ctx, auth, known, header, address)
			if err != nil {
				return credential{}, err
			}
			return who, who.allowedFrom(address)
		}
		session := ""
		if ck, err := r.Cookie(cookie); err == nil {
			session = ck.Value
		}
		if session == "" {
			return credential{actor: identity.Anonymous()}, nil
		}
		who, _, err := authenticate(ctx, auth,
			&authv1.AuthenticateRequest{Credential: &authv1.AuthenticateRequest_SessionId{SessionId: session}})
		if errs.Is(err, errs.Unauthenticated) {
			// An old cookie must not keep a browser from public routes. A service refuses where a caller is required.
			return credential{actor: identity.Anonymous()}, nil
		}
		return who, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, err := identify(r.Context(), r)
			switch errs.CodeOf(err) {
			case errs.Unauthenticated, errs.Forbidden, errs.AccountSuspended, errs.LockedOut:
				if limited := limits.takeByAddress(r, 1); limited != nil {
					err = limited
				}
			}
			if err != nil {
				From(r.Context()).refused = who.actor
				WriteProblem(w, r, err)
				return
			}
			actor := who.actor
			if actor.IsUser() {
				actor.Permissions = permissions(actor.Roles)
			}
			x := From(r.Context())
			x.Actor, x.RatePerMinute, x.RecentSeconds = actor, who.ratePerMinute, who.recentSeconds
			x.StillValid = func(ctx context.Context) bool {
				again, err := identify(identity.WithToken(ctx, ""), r) // the gateway itself asks
				switch errs.CodeOf(err) {
				case errs.Unauthenticated, errs.Forbidden, errs.AccountSuspended, errs.LockedOut:
					return false
				}
				return err != nil || again.actor.ID == actor.ID
			}
			ctx := identity.WithAssertion(identity.NewContext(r.Context(), actor), signer.Assert(actor))
			if actor.IsUser() || actor.IsKey() { // for the audit trail
				ctx = rpc.WithAddress(ctx, ClientAddress(r, limits.Trusted))
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// credential is what the auth service says about a credential.
type credential struct {
	actor identity.Actor
	// networks are those from which an API key may be used; empty: all.
	networks []netip.Prefix
	// ratePerMinute is how many requests an API key may send; 0: as many as a user.
	ratePerMinute int
	// recentSeconds is how many seconds a sign-in is a recent one.
	recentSeconds int64
}

// allowedFrom returns an error if the credential may not be used from an address.
//
// Errors: forbidden.
func (c credential) allowedFrom(address string) error {
	if len(c.networks) == 0 || within(address, c.networks) {
		return nil
	}
	return errs.New(errs.Forbidden, "this API key may not be used from this address")
}

func bearer(
	ctx context.Context, auth Authenticator, known *knownBearers, header, address string,
) (credential, error) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return credential{}, errs.New(errs.Unauthenticated,
			"the Authorization header is not of the form: Bearer TOKEN")
	}
	digest := sha256.Sum256([]byte(token))
	last, fresh := known.get(digest)
	if fresh {
		return *last, nil
	}
	asked := known.clock.Now()
	c, until, err := authenticate(ctx, auth, &authv1.AuthenticateRequest{
		Credential: &authv1.AuthenticateRequest_Bearer{Bearer: token}, Address: address,
	})
	switch errs.CodeOf(err) {
	case "":
		known.put(digest, c, asked, until)
		return c, nil
	case errs.Unavailable, errs.Timeout, errs.Overloaded:
		if last != nil {
			return *last, nil
		}
	default:
		known.drop(digest)
	}
	return credential{}, err
}

func authenticate(
	ctx context.Context, auth Authenticator, req *authv1.AuthenticateRequest,
) (credential, time.Time, error) {
	res, err := auth.Authenticate(ctx, req)
	if err != nil {
		return credential{}, time.Time{}, err
	}
	c := credential{actor: identity.Actor{
		ID: res.GetSubjectId(), Roles: res.GetRoles(), SessionID: res.GetSessionId(),
	}, recentSeconds: res.GetRecentSeconds()}
	switch res.GetKind() {
	case string(identity.KindUser):
		c.actor.Kind = identity.KindUser
		if res.GetRecentUntil() != nil {
			c.actor.RecentUntil = res.GetRecentUntil().AsTime()
		}
	case string(identity.KindGuest):
		c.actor.Kind = identity.KindGuest
	case string(identity.KindKey):
		c.actor.Kind, c.actor.ShopID, c.actor.Permissions = identity.KindKey, res.GetShopId(), res.GetPermissions()
		c.ratePerMinute = int(res.GetRatePerMinute())
		for _, text := range res.GetAllowedAddresses() {
			network, err := netip.ParsePrefix(text)
			if err != nil {
				return credential{}, time.Time{}, errs.Wrap(err, errs.Internal, "an API key's network")
			}
			c.networks = append(c.networks, network)
		}
	default:
		return credential{}, time.Time{}, errs.New(errs.Unauthenticated, "this credential names nobody")
	}
	var until time.Time
	if res.GetReusableUntil() != nil {
		until = res.GetReusableUntil().AsTime()
	}
	return c, until, nil
}

const (
	// bearerTTL is how long an answer is kept, for when the auth service does not answer.
	bearerTTL = time.Minute
	// bearerFresh is how long an answer is used without asking again. Both are by the clock of this process: that of the
	// auth service's may differ.
	bearerFresh   = 800 * time.Millisecond
	maxBearers    = 10_000
	purgedBearers = maxBearers / 10
)

type knownBearer struct {
	credential   credential
	fresh, until time.Time
}

// knownBearers caches what bearer tokens are by the tokens' digests.
type knownBearers struct {
	clock   clock.Clock
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]knownBearer
}

// get returns the last answer about a token, unless it is too old, and whether it is fresh.
func (k *knownBearers) get(digest [sha256.Size]byte) (last *credential, fresh bool) {
	now := k.clock.Now()
	k.mu.RLock()
	defer k.mu.RUnlock()
	e, ok := k.entries[digest]
	if !ok || !now.Before(e.until) {
		return nil, false
	}
	return &e.credential, now.Before(e.fresh)
}

// put keeps what the auth service said when it was asked.
func (k *knownBearers) put(digest [sha256.Size]byte, c credential, asked, until time.Time) {
	e := knownBearer{credential: c, fresh: asked.Add(bearerFresh), until: asked.Add(bearerTTL)}
	switch c.actor.Kind {
	case identity.KindKey:
		e.until = e.fresh
	case identity.KindGuest: // nobody suspends guests
		e.fresh = e.until
	}
	if until.Before(e.until) {
		e.until = until
	}
	now := k.clock.Now()
	if !e.until.After(now) {
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
	k.entries[digest] = e
}

// drop forgets a token that is refused.
func (k *knownBearers) drop(digest [sha256.Size]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.entries, digest)
}
