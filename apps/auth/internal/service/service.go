// Package service implements auth's use cases: sign-in, sessions, guests, and the check of credentials.
package service

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/auth/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
)

// Provider is the OpenID provider.
type Provider interface {
	AuthorizeURL(ctx context.Context, l domain.Login) (string, error)
	Exchange(ctx context.Context, l domain.Login, code string) (domain.Person, error)
	Verify(ctx context.Context, accessToken string) (domain.Access, error)
	Profile(ctx context.Context, accessToken, subject string) (domain.Person, error)
	EndSessionURL(ctx context.Context, returnTo string) string
}

// Sessions keeps sessions under the digests of their IDs.
type Sessions interface {
	Create(ctx context.Context, digest string, s domain.Session) error
	Get(ctx context.Context, digest string) (domain.Session, error)
	Touch(ctx context.Context, digest string, s domain.Session) error
	List(ctx context.Context, userID string) (map[string]domain.Session, error)
	Delete(ctx context.Context, userID string, digests ...string) error
	DeleteAll(ctx context.Context, userID string) error
	SetSuspension(ctx context.Context, userID string, suspended bool, revision int64) error
	Suspended(ctx context.Context, userID string) (bool, error)
}

// Sealer seals and opens login cookies.
type Sealer interface {
	Seal(l domain.Login) (string, error)
	Open(cookie string) (domain.Login, error)
}

// Guests issues and verifies guest tokens.
type Guests interface {
	Issue() (token string, expires time.Time, err error)
	Claims(token string) bool
	Verify(token string) (guestID string, expires time.Time, err error)
}

// Users is the part of the user service that auth calls.
type Users interface {
	EnsureUser(
		ctx context.Context, in *userv1.EnsureUserRequest, opts ...grpc.CallOption,
	) (*userv1.EnsureUserResponse, error)
	RecordSignIn(
		ctx context.Context, in *userv1.RecordSignInRequest, opts ...grpc.CallOption,
	) (*userv1.RecordSignInResponse, error)
}

// Carts is the part of the cart service that auth calls.
type Carts interface {
	MergeCart(
		ctx context.Context, in *cartv1.MergeCartRequest, opts ...grpc.CallOption,
	) (*cartv1.MergeCartResponse, error)
}

// Orders is the part of the order service that auth calls.
type Orders interface {
	AdoptOrders(
		ctx context.Context, in *orderv1.AdoptOrdersRequest, opts ...grpc.CallOption,
	) (*orderv1.AdoptOrdersResponse, error)
}

// Keyring is the part of the keyring service that auth calls.
type Keyring interface {
	MergeOwner(
		ctx context.Context, in *keyringv1.MergeOwnerRequest, opts ...grpc.CallOption,
	) (*keyringv1.MergeOwnerResponse, error)
}

// Shops is the part of the shop service that auth calls.
type Shops interface {
	FindAPIKey(
		ctx context.Context, in *shopv1.FindAPIKeyRequest, opts ...grpc.CallOption,
	) (*shopv1.FindAPIKeyResponse, error)
}

// Deps are the dependencies of a Service. All are required.
type Deps struct {
	Provider  Provider
	Sessions  Sessions
	Failures  Failures
	Sealer    Sealer
	Guests    Guests
	Users     Users
	Carts     Carts
	Orders    Orders
	Keyring   Keyring
	Shops     Shops
	Lifetimes domain.Lifetimes
	// RecentSignIn is how long a sign-in is a recent one; 0: for ever.
	RecentSignIn time.Duration
	Clock        clock.Clock
	Logger       *zap.Logger
}

// Service implements auth's use cases.
type Service struct {
	Deps
	known *knownUsers
}

// New returns a Service.
func New(d Deps) *Service { return &Service{Deps: d, known: newKnownUsers(d.Clock)} }

// user returns the ID of the person's user, which is created the first time.
//
// Errors: account_suspended, and those of the user service.
func (s *Service) user(ctx context.Context, p domain.Person) (string, error) {
	res, err := s.Users.EnsureUser(ctx, &userv1.EnsureUserRequest{
		Issuer: p.Issuer, Subject: p.Subject, EmailVerified: p.EmailVerified,
		Email: storable(p.Email), Name: storable(p.Name), IssuedAt: issuedAt(p), Roles: p.Roles,
	})
	if err != nil {
		return "", err
	}
	if res.GetUser().GetSuspension() != nil {
		return "", domain.Suspended()
	}
	return res.GetUser().GetId(), nil
}

// issuedAt returns nil if the provider did not say it.
func issuedAt(p domain.Person) *timestamppb.Timestamp {
	if p.IssuedAt.IsZero() {
		return nil
	}
	return timestamppb.New(p.IssuedAt)
}

// storable returns a provider's claim, or "" if it holds U+0000, which no call may carry: the person signs in without
// it.
func storable(claim string) string {
	if strings.IndexByte(claim, 0) >= 0 {
		return ""
	}
	return claim
}
