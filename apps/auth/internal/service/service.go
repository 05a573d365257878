// Package service is what auth does: signing in, sessions, guests, and telling whose a credential is.
package service

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/auth/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
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
	Delete(ctx context.Context, digest, userID string) error
	DeleteAll(ctx context.Context, userID string) error
}

// Sealer makes login cookies.
type Sealer interface {
	Seal(l domain.Login) (string, error)
	Open(cookie string) (domain.Login, error)
}

// Guests makes and checks guest tokens.
type Guests interface {
	Issue() (token string, expires time.Time, err error)
	Claims(token string) bool
	Verify(token string) (guestID string, expires time.Time, err error)
}

// Users is what auth needs of the user service.
type Users interface {
	EnsureUser(ctx context.Context, in *userv1.EnsureUserRequest, opts ...grpc.CallOption) (*userv1.EnsureUserResponse, error)
}

// Carts is what auth needs of the cart service.
type Carts interface {
	MergeCart(ctx context.Context, in *cartv1.MergeCartRequest, opts ...grpc.CallOption) (*cartv1.MergeCartResponse, error)
}

// Orders is what auth needs of the order service.
type Orders interface {
	AdoptOrders(ctx context.Context, in *orderv1.AdoptOrdersRequest, opts ...grpc.CallOption) (*orderv1.AdoptOrdersResponse, error)
}

// Deps are what a Service works with.
type Deps struct {
	Provider  Provider
	Sessions  Sessions
	Sealer    Sealer
	Guests    Guests
	Users     Users
	Carts     Carts
	Orders    Orders
	Lifetimes domain.Lifetimes
	Clock     clock.Clock
	Logger    *zap.Logger
}

// Service is the use cases.
type Service struct {
	Deps
	known *knownUsers
}

// New returns a Service.
func New(d Deps) *Service { return &Service{Deps: d, known: newKnownUsers(d.Clock)} }

// user returns the ID of the user who the person is; the first time there is one from then on.
func (s *Service) user(ctx context.Context, p domain.Person) (string, error) {
	res, err := s.Users.EnsureUser(ctx, &userv1.EnsureUserRequest{
		Issuer: p.Issuer, Subject: p.Subject, Email: p.Email, EmailVerified: p.EmailVerified, Name: p.Name,
	})
	if err != nil {
		return "", err
	}
	return res.GetUser().GetId(), nil
}
