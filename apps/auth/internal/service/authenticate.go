package service

import (
	"cmp"
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/apikey"
	"souk/pkg/errs"
)

// reusable is how long an answer about a bearer token may be kept. The gateway asks again within a second, and uses what
// it has kept while auth does not answer.
const reusable = time.Minute

// keyReusable is how long an answer about an API key may be kept: a key that is deleted, rotated out or expired, and
// one whose creator may do less, stop as soon.
const keyReusable = 800 * time.Millisecond

// Bearer returns the actor of a bearer token: an access token of the provider, a guest token, or an API key.
//
// Errors: unauthenticated, account_suspended, and those of the provider, the user service, the shop service and Redis.
func (s *Service) Bearer(ctx context.Context, token string) (domain.Actor, error) {
	if apikey.Claims(token) {
		return s.key(ctx, token)
	}
	now := s.Clock.Now()
	if s.Guests.Claims(token) {
		guestID, expires, err := s.Guests.Verify(token)
		if err != nil {
			return domain.Actor{}, err
		}
		return domain.Actor{Guest: true, ID: guestID, ReusableUntil: earlier(expires, now.Add(reusable))}, nil
	}
	access, err := s.Provider.Verify(ctx, token)
	if err != nil {
		return domain.Actor{}, err
	}
	userID, ok := s.known.get(access.Person)
	if !ok {
		if access.Email == "" || access.Name == "" {
			more, err := s.Provider.Profile(ctx, token, access.Subject)
			if err != nil {
				return domain.Actor{}, err
			}
			more.RolesKnown = false // a token has only the roles in its claims
			access.Complete(more)
		}
		if userID, err = s.user(ctx, access.Person); err != nil {
			return domain.Actor{}, err
		}
		s.known.put(access.Person, userID)
	}
	if suspended, err := s.Sessions.Suspended(ctx, userID); err != nil || suspended {
		return domain.Actor{}, cmp.Or(err, domain.Suspended())
	}
	return domain.Actor{
		ID: userID, Roles: access.Roles, ReusableUntil: earlier(access.Expires, now.Add(reusable)),
		RecentUntil: domain.RecentUntil(access.AuthTime, now, s.RecentSignIn),
	}, nil
}

// key returns the actor of an API key. A guess without the right checksum costs no look-up.
//
// Errors: unauthenticated, unavailable.
func (s *Service) key(ctx context.Context, secret string) (domain.Actor, error) {
	refused := errs.New(errs.Unauthenticated, "this API key is not valid: it was deleted or rotated, or has expired")
	if !apikey.Valid(secret) {
		return domain.Actor{}, refused
	}
	now := s.Clock.Now()
	res, err := s.Shops.FindAPIKey(ctx, &shopv1.FindAPIKeyRequest{Hash: apikey.Hash(secret)})
	if errs.Is(err, errs.NotFound) {
		return domain.Actor{}, refused
	}
	if err != nil {
		return domain.Actor{}, err
	}
	k := res.GetApiKey()
	return domain.Actor{ID: k.GetId(), ReusableUntil: now.Add(keyReusable), Key: &domain.Key{
		ShopID: k.GetShopId(), Permissions: k.GetScopes(), Addresses: k.GetAllowedAddresses(),
		RatePerMinute: int(k.GetRatePerMinute()),
	}}, nil
}

// SetSuspension says whether a user is suspended: the revision of the user says which of several calls is the latest. The
// sessions of a suspended user end.
//
// Errors: unavailable.
func (s *Service) SetSuspension(ctx context.Context, userID string, suspended bool, revision int64) error {
	return s.Sessions.SetSuspension(ctx, userID, suspended, revision)
}

// Session returns the actor of a session, and records its use.
//
// Errors: unauthenticated, unavailable.
func (s *Service) Session(ctx context.Context, sessionID string) (domain.Actor, error) {
	digest, session, err := s.session(ctx, sessionID)
	if err != nil {
		return domain.Actor{}, err
	}
	if session.Touch(s.Clock.Now()) {
		if err := s.Sessions.Touch(ctx, digest, session); err != nil { // the session is valid all the same
			s.Logger.Warn("a session's use was not recorded", zap.Error(err))
		}
	}
	return domain.Actor{
		ID: session.UserID, Roles: session.Roles, SessionID: credential.PublicSessionID(digest),
		RecentUntil: domain.RecentUntil(session.AuthTime, s.Clock.Now(), s.RecentSignIn),
	}, nil
}

func (s *Service) session(ctx context.Context, sessionID string) (digest string, session domain.Session, err error) {
	ended := errs.New(errs.Unauthenticated, "this session has ended: sign in again at /auth/login")
	if digest, err = credential.SessionDigest(sessionID); err != nil {
		return "", domain.Session{}, ended
	}
	session, err = s.Sessions.Get(ctx, digest)
	if errs.Is(err, errs.NotFound) || err == nil && !session.Alive(s.Clock.Now(), s.Lifetimes) {
		return "", domain.Session{}, ended
	}
	return digest, session, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
