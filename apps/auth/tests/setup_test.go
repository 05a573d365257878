package auth_test

import (
	"context"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"souk/apps/auth"
	"souk/apps/auth/internal/domain"
	authv1 "souk/gen/go/souk/auth/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const redirectURI = "http://127.0.0.1:8080/auth/callback"

var (
	secret    = []byte("0123456789abcdef0123456789abcdef")
	lifetimes = domain.Lifetimes{Absolute: 30 * 24 * time.Hour, Idle: 7 * 24 * time.Hour, Operator: 12 * time.Hour}
)

// harness is the auth service with fakes of the provider and of the services that it calls, and a client of it as the
// gateway.
type harness struct {
	*moduletest.Service
	t        *testing.T
	clock    *clock.Manual
	provider *provider
	users    *users
	carts    *carts
	orders   *orders
	keys     *keys
	auth     authv1.AuthServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	h := &harness{
		t:        t,
		provider: newProvider(t),
		clock:    clock.NewManual(time.Now().UTC().Truncate(time.Millisecond)),
		users:    &users{ids: map[string]string{}},
		carts:    &carts{},
		orders:   &orders{},
		keys:     &keys{known: map[string]*shopv1.APIKey{}},
	}
	h.Service = moduletest.Start(t, auth.Module, append([]moduletest.Option{
		moduletest.Config(map[string]any{
			"issuer": h.provider.URL, "client_id": clientID, "client_secret": clientSecret, "audience": audience,
			"key": base64.StdEncoding.EncodeToString(secret),
		}),
		moduletest.Clock(h.clock),
		moduletest.Fake("user", func(r grpc.ServiceRegistrar) { userv1.RegisterUserServiceServer(r, h.users) }),
		moduletest.Fake("cart", func(r grpc.ServiceRegistrar) { cartv1.RegisterCartServiceServer(r, h.carts) }),
		moduletest.Fake("order", func(r grpc.ServiceRegistrar) { orderv1.RegisterOrderServiceServer(r, h.orders) }),
		moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, h.keys) }),
	}, opts...)...)
	h.auth = authv1.NewAuthServiceClient(h.Client("gateway"))
	return h
}

// second returns the same service in a second process.
func (h *harness) second() *harness {
	h.t.Helper()
	other := *h
	other.Service = h.Another()
	other.auth = authv1.NewAuthServiceClient(other.Client("gateway"))
	return &other
}

func (h *harness) begin(returnTo string) *authv1.BeginLoginResponse {
	res, err := h.auth.BeginLogin(h.t.Context(),
		&authv1.BeginLoginRequest{ReturnTo: returnTo, RedirectUri: redirectURI})
	require.NoError(h.t, err)
	return res
}

func (h *harness) complete(cookie, code, state, guest string) (*authv1.CompleteLoginResponse, error) {
	return h.auth.CompleteLogin(h.t.Context(), &authv1.CompleteLoginRequest{
		Code: code, State: state, LoginCookie: cookie, GuestToken: guest,
	})
}

// login signs in and returns the session's ID.
func (h *harness) login() string {
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	res, err := h.complete(begun.GetLoginCookie(), code, state, "")
	require.NoError(h.t, err)
	return res.GetSessionId()
}

func (h *harness) session(sessionID string) (*authv1.AuthenticateResponse, error) {
	return h.auth.Authenticate(h.t.Context(), &authv1.AuthenticateRequest{
		Credential: &authv1.AuthenticateRequest_SessionId{SessionId: sessionID},
	})
}

func (h *harness) bearer(token string) (*authv1.AuthenticateResponse, error) {
	return h.auth.Authenticate(h.t.Context(), &authv1.AuthenticateRequest{
		Credential: &authv1.AuthenticateRequest_Bearer{Bearer: token},
	})
}

func requireCode(t *testing.T, code errs.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, errs.CodeOf(err), "%v", err)
}

// users fakes the user service.
type users struct {
	userv1.UnimplementedUserServiceServer
	mu    sync.Mutex
	ids   map[string]string
	calls []*userv1.EnsureUserRequest
	// devices are the browsers of sign-ins, and err is the answer to the next one.
	devices []string
	err     error
	// suspended: every user is.
	suspended bool
}

func (u *users) RecordSignIn(
	_ context.Context, in *userv1.RecordSignInRequest,
) (*userv1.RecordSignInResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return nil, u.err
	}
	u.devices = append(u.devices, in.GetDevice())
	return &userv1.RecordSignInResponse{}, nil
}

func (u *users) EnsureUser(_ context.Context, in *userv1.EnsureUserRequest) (*userv1.EnsureUserResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls = append(u.calls, in)
	key := in.GetIssuer() + " " + in.GetSubject()
	if u.ids[key] == "" {
		u.ids[key] = id.New(id.User)
	}
	res := &userv1.EnsureUserResponse{User: &userv1.User{Id: u.ids[key]}}
	if u.suspended {
		res.User.Suspension = &userv1.Suspension{Reason: "fraud"}
	}
	return res, nil
}

func (u *users) ensured() []*userv1.EnsureUserRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*userv1.EnsureUserRequest(nil), u.calls...)
}

// carts fakes the cart service.
type carts struct {
	cartv1.UnimplementedCartServiceServer
	mu     sync.Mutex
	merged [][2]string
	failed bool
}

func (c *carts) MergeCart(_ context.Context, in *cartv1.MergeCartRequest) (*cartv1.MergeCartResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return nil, errs.New(errs.Unavailable, "the carts are away")
	}
	c.merged = append(c.merged, [2]string{in.GetGuestId(), in.GetUserId()})
	return &cartv1.MergeCartResponse{}, nil
}

// orders fakes the order service.
type orders struct {
	orderv1.UnimplementedOrderServiceServer
	mu      sync.Mutex
	adopted [][2]string
}

func (o *orders) AdoptOrders(_ context.Context, in *orderv1.AdoptOrdersRequest) (*orderv1.AdoptOrdersResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.adopted = append(o.adopted, [2]string{in.GetGuestId(), in.GetUserId()})
	return &orderv1.AdoptOrdersResponse{}, nil
}
