package service

import (
	"cmp"
	"context"
	"crypto/subtle"
	"net/url"
	"time"

	"go.uber.org/zap"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
)

const (
	secretBytes  = 32 // of state, nonce and PKCE verifier
	mergeTimeout = 3 * time.Second
)

// Begun is a sign-in that has begun.
type Begun struct {
	// AuthorizeURL is where the browser goes to sign in.
	AuthorizeURL string
	// Cookie is what the browser must bring back.
	Cookie string
	// Device is what the browser is to keep, so that its next sign-in is not one from a new browser.
	Device string
}

// Requested is the sign-in that a browser asks for.
type Requested struct {
	// ReturnTo is where the browser goes afterwards, and RedirectURI where the provider sends it.
	ReturnTo, RedirectURI string
	// Device is what the browser has kept; "" or one that cannot be: it gets a new one.
	Device string
	// MaxAge and Again are those of [domain.Login].
	MaxAge int64
	Again  bool
}

// BeginLogin begins a sign-in.
//
// Errors: invalid_argument, and those of the provider.
func (s *Service) BeginLogin(ctx context.Context, r Requested) (Begun, error) {
	if u, err := url.Parse(r.RedirectURI); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return Begun{}, errs.InvalidField("redirectUri", "must be an http or https URL")
	}
	l := domain.Login{
		State:       credential.Random(secretBytes),
		Nonce:       credential.Random(secretBytes),
		Verifier:    credential.Random(secretBytes),
		ReturnTo:    domain.LocalPath(r.ReturnTo),
		RedirectURI: r.RedirectURI,
		MaxAge:      r.MaxAge,
		Again:       r.Again,
		Expires:     s.Clock.Now().Add(domain.LoginLifetime),
	}
	authorizeURL, err := s.Provider.AuthorizeURL(ctx, l)
	if err != nil {
		return Begun{}, err
	}
	cookie, err := s.Sealer.Seal(l)
	if err != nil {
		return Begun{}, err
	}
	device, _, err := known(r.Device)
	return Begun{AuthorizeURL: authorizeURL, Cookie: cookie, Device: device}, err
}

// known returns what a browser keeps, which is new unless it can be what was given, and the digest of it.
func known(device string) (kept, digest string, err error) {
	if digest, err = credential.DeviceDigest(device); err == nil {
		return device, digest, nil
	}
	device = credential.NewDevice()
	digest, err = credential.DeviceDigest(device)
	return device, digest, err
}

// SignedIn is a new session.
type SignedIn struct {
	SessionID string
	Expires   time.Time
	ReturnTo  string
	Device    string // see [Begun]
}

// Returned is what a browser brings back from the provider.
type Returned struct {
	Code, State string
	// Cookie and Device are those of [Begun].
	Cookie, Device string
	// GuestToken is the token of a guest who becomes the user; "": none.
	GuestToken string
	// UserAgent is what the browser says of itself, and Address where it is; "": unknown.
	UserAgent, Address string
}

// complete checks what the browser brought back from the provider, and opens a session with a new ID. A
// guest's cart and orders become the user's. If that fails, it is logged, and MergeGuest can repeat it.
//
// Errors: unauthenticated, sign_in_again, account_suspended, and those of provider, user service and Redis.
func (s *Service) complete(ctx context.Context, r Returned) (SignedIn, error) {
	l, err := s.Sealer.Open(r.Cookie)
	if err != nil {
		return SignedIn{}, err
	}
	if subtle.ConstantTimeCompare([]byte(r.State), []byte(l.State)) != 1 {
		return SignedIn{}, errs.New(errs.Unauthenticated,
			"this sign-in was not begun in this browser: begin again at /auth/login")
	}
	person, err := s.Provider.Exchange(ctx, l, r.Code)
	if err != nil {
		return SignedIn{}, err
	}
	account := person.Issuer + " " + person.Subject
	if err := s.mayTry(ctx, failedAccount, account); err != nil {
		return SignedIn{}, err
	}
	err = l.Check(person.AuthTime)
	userID := ""
	if err == nil {
		userID, err = s.user(ctx, person)
	}
	if errs.Is(err, errs.SignInAgain) || errs.Is(err, errs.AccountSuspended) {
		err = s.failed(ctx, failedAccount, account, err)
	}
	if err != nil {
		return SignedIn{}, err
	}
	device, seen, err := known(r.Device)
	if err != nil {
		return SignedIn{}, err
	}
	// Before the session exists: no sign-in with a new browser goes unnoticed.
	_, err = s.Users.RecordSignIn(ctx, &userv1.RecordSignInRequest{UserId: userID, Device: seen})
	if errs.Is(err, errs.Unimplemented) { // during an upgrade: the user service is still an older one
		s.Logger.Warn("a sign-in was not recorded", zap.Error(err))
	} else if err != nil {
		return SignedIn{}, err
	}
	session := domain.NewSession(userID, person.Roles, s.Clock.Now(), s.Lifetimes)
	session.AuthTime = person.AuthTime
	session.Browser, session.Address = domain.Browser(r.UserAgent), r.Address
	sessionID := credential.NewSessionID()
	digest, err := credential.SessionDigest(sessionID)
	if err != nil {
		return SignedIn{}, err
	}
	if err := s.Sessions.Create(ctx, digest, session); err != nil {
		return SignedIn{}, err
	}
	if err := s.Failures.Forget(ctx, failedAccount, account); err != nil {
		s.Logger.Warn("failed attempts are not forgotten", zap.Error(err))
	}
	s.mergeAtLogin(ctx, r.GuestToken, userID)
	return SignedIn{SessionID: sessionID, Expires: session.Expires, ReturnTo: l.ReturnTo, Device: device}, nil
}

func (s *Service) mergeAtLogin(ctx context.Context, guestToken, userID string) {
	if guestToken == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mergeTimeout)
	defer cancel()
	if err := s.MergeGuest(ctx, userID, guestToken); err != nil {
		s.Logger.Warn("a guest was not merged at sign-in", zap.String("user_id", userID), zap.Error(err))
	}
}

// MergeGuest moves a guest's cart and orders to the user. It may be repeated. A failure of the cart service
// does not keep the orders from the user. The keyring knows it first: what becomes the user's is erased with the user.
//
// Errors: unauthenticated (the guest token), and those of the keyring, cart and order services.
func (s *Service) MergeGuest(ctx context.Context, userID, guestToken string) error {
	guestID, _, err := s.Guests.Verify(guestToken)
	if err != nil {
		return err
	}
	merge := &keyringv1.MergeOwnerRequest{GuestId: guestID, UserId: userID}
	if _, err := s.Keyring.MergeOwner(ctx, merge); err != nil {
		return err
	}
	_, cartErr := s.Carts.MergeCart(ctx, &cartv1.MergeCartRequest{GuestId: guestID, UserId: userID})
	_, err = s.Orders.AdoptOrders(ctx, &orderv1.AdoptOrdersRequest{GuestId: guestID, UserId: userID})
	return cmp.Or(cartErr, err)
}

// CreateGuest issues a token for a new guest.
func (s *Service) CreateGuest() (token string, expires time.Time, err error) { return s.Guests.Issue() }

// Logout ends a session, or all sessions of its user. It returns the URL at which the browser ends the
// provider's session, which sends it on to returnTo; the URL is empty if the provider does not answer. A
// session that has already ended is no error, unless everywhere is set.
//
// Errors: unavailable, unauthenticated (everywhere is set and the session has ended).
func (s *Service) Logout(
	ctx context.Context, sessionID string, everywhere bool, returnTo string,
) (endSessionURL string, err error) {
	digest, session, err := s.session(ctx, sessionID)
	switch {
	case errs.Is(err, errs.Unauthenticated) && !everywhere: // it has ended already
		err = nil
	case err != nil:
	case everywhere:
		err = s.Sessions.DeleteAll(ctx, session.UserID)
	default:
		err = s.Sessions.Delete(ctx, session.UserID, digest)
	}
	if err != nil {
		return "", err
	}
	return s.Provider.EndSessionURL(ctx, returnTo), nil
}
