package user_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"souk/apps/user"
	authv1 "souk/gen/go/souk/auth/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the user service, and clients of it over NATS.
type harness struct {
	*moduletest.Service
	t                         *testing.T
	users                     userv1.UserServiceClient // as the gateway
	auth, order, notification userv1.UserServiceClient
	authService               *authService
	orders                    *orders
}

func setup(t *testing.T) *harness {
	t.Helper()
	fake, placed := &authService{}, &orders{}
	s := moduletest.Start(t, user.Module, moduletest.OverNATS(),
		moduletest.Fake("auth", func(r grpc.ServiceRegistrar) { authv1.RegisterAuthServiceServer(r, fake) }),
		moduletest.Fake("order", func(r grpc.ServiceRegistrar) { orderv1.RegisterOrderServiceServer(r, placed) }))
	client := func(name string) userv1.UserServiceClient { return userv1.NewUserServiceClient(s.Client(name)) }
	return &harness{
		Service: s, t: t, authService: fake, orders: placed,
		users: client("gateway"), auth: client("auth"), order: client("order"), notification: client("notification"),
	}
}

// orders fakes the order service.
type orders struct {
	orderv1.UnimplementedOrderServiceServer
	unshipped atomic.Bool
}

// HasUnshipped implements orderv1.OrderServiceServer.
func (o *orders) HasUnshipped(
	context.Context, *orderv1.HasUnshippedRequest,
) (*orderv1.HasUnshippedResponse, error) {
	return &orderv1.HasUnshippedResponse{Unshipped: o.unshipped.Load()}, nil
}

func (h *harness) ensure(subject, email, name string) *userv1.EnsureUserResponse {
	h.t.Helper()
	res, err := h.auth.EnsureUser(h.t.Context(), &userv1.EnsureUserRequest{
		Issuer: "https://id.example.com", Subject: subject, Email: email, EmailVerified: true, Name: name,
	})
	require.NoError(h.t, err)
	return res
}

func requireCode(t *testing.T, code errs.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, errs.CodeOf(err), "%v", err)
}
