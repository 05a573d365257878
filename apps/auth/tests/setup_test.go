package auth_test

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	"souk/apps/auth/internal/handler"
	oidcprovider "souk/apps/auth/internal/provider"
	"souk/apps/auth/internal/repository"
	"souk/apps/auth/internal/service"
	authv1 "souk/gen/go/souk/auth/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/redistest"
	"souk/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const redirectURI = "http://127.0.0.1:8080/auth/callback"

var (
	secret    = []byte("0123456789abcdef0123456789abcdef")
	lifetimes = domain.Lifetimes{Absolute: 30 * 24 * time.Hour, Idle: 7 * 24 * time.Hour, Operator: 12 * time.Hour}
	seed      = []byte("fedcba9876543210fedcba9876543210")
)

// harness is an auth service with fakes of the provider and of the services that it calls, and a client of it
// as the gateway.
type harness struct {
	t        *testing.T
	clock    *clock.Manual
	provider *provider
	users    *users
	carts    *carts
	orders   *orders
	logs     *logs
	auth     authv1.AuthServiceClient // as the gateway
	conn     *rpc.Local
	signer   *identity.Signer // the gateway's
}

func setup(t *testing.T) *harness {
	p := newProvider(t)
	return setupWith(
		t,
		p,
		oidcprovider.Options{Issuer: p.URL, ClientID: clientID, ClientSecret: clientSecret, Audience: audience},
	)
}

func setupWith(t *testing.T, p *provider, o oidcprovider.Options) *harness {
	h := &harness{
		t:        t,
		provider: p,
		clock:    clock.NewManual(time.Now().UTC().Truncate(time.Millisecond)),
		users:    &users{ids: map[string]string{}},
		carts:    &carts{},
		orders:   &orders{},
		logs:     &logs{},
		conn:     rpc.NewLocal(),
	}
	h.signer = h.signerOf("gateway")
	logger := zap.New(
		zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), h.logs, zapcore.DebugLevel),
	)
	h.serve("user", logger, func(s *rpc.Server) { userv1.RegisterUserServiceServer(s, h.users) })
	h.serve("cart", logger, func(s *rpc.Server) { cartv1.RegisterCartServiceServer(s, h.carts) })
	h.serve("order", logger, func(s *rpc.Server) { orderv1.RegisterOrderServiceServer(s, h.orders) })
	h.serve("auth", logger, func(s *rpc.Server) {
		authv1.RegisterAuthServiceServer(s, &handler.RPC{Service: h.service(o, redistest.Client(t), logger)})
	})
	h.auth = authv1.NewAuthServiceClient(rpc.NewClient(h.conn, rpc.ClientOptions{Service: "gateway", Signer: h.signer}))
	return h
}

func (h *harness) service(o oidcprovider.Options, redis rueidis.Client, logger *zap.Logger) *service.Service {
	transport := &http.Transport{}
	h.t.Cleanup(transport.CloseIdleConnections)
	o.RolesClaim, o.Scopes, o.Clock, o.Logger = "roles", []string{"openid", "profile", "email"}, h.clock, logger
	o.HTTP = &http.Client{Transport: transport, Timeout: 5 * time.Second}
	sealer, err := credential.NewSealer(secret, h.clock)
	require.NoError(h.t, err)
	guests, err := credential.NewGuests(secret, h.clock)
	require.NoError(h.t, err)
	own := rpc.NewClient(h.conn, rpc.ClientOptions{Service: "auth", Signer: h.signerOf("auth")})
	return service.New(service.Deps{
		Provider: oidcprovider.Open(
			o,
		),
		Sessions: repository.NewSessions(redis, h.clock, lifetimes),
		Sealer:   sealer,
		Guests:   guests,
		Users: userv1.NewUserServiceClient(
			own,
		),
		Carts:     cartv1.NewCartServiceClient(own),
		Orders:    orderv1.NewOrderServiceClient(own),
		Lifetimes: lifetimes,
		Clock:     h.clock,
		Logger:    logger,
	})
}

func (h *harness) signerOf(name string) *identity.Signer {
	return identity.NewSigner(name, identity.DeriveKey(seed, name), time.Minute, clock.System{})
}

func (h *harness) serve(name string, logger *zap.Logger, register func(*rpc.Server)) {
	v := identity.NewVerifier(identityKeys(), clock.System{})
	s := rpc.NewServer(rpc.ServerOptions{Service: name, Verifier: v, Logger: logger})
	register(s)
	stop, err := h.conn.Serve(context.Background(), s)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { require.NoError(h.t, stop(context.Background())) })
}

// as returns a context in which the gateway asserts the actor.
func (h *harness) as(a identity.Actor) context.Context {
	token, _, err := h.signer.Sign(a)
	require.NoError(h.t, err)
	return identity.WithToken(h.t.Context(), token)
}

func (h *harness) begin(returnTo string) *authv1.BeginLoginResponse {
	res, err := h.auth.BeginLogin(
		h.t.Context(),
		&authv1.BeginLoginRequest{ReturnTo: returnTo, RedirectUri: redirectURI},
	)
	require.NoError(h.t, err)
	return res
}

func (h *harness) complete(cookie, code, state, guest string) (*authv1.CompleteLoginResponse, error) {
	return h.auth.CompleteLogin(
		h.t.Context(),
		&authv1.CompleteLoginRequest{Code: code, State: state, LoginCookie: cookie, GuestToken: guest},
	)
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
	return h.auth.Authenticate(
		h.t.Context(),
		&authv1.AuthenticateRequest{Credential: &authv1.AuthenticateRequest_SessionId{SessionId: sessionID}},
	)
}

func (h *harness) bearer(token string) (*authv1.AuthenticateResponse, error) {
	return h.auth.Authenticate(
		h.t.Context(),
		&authv1.AuthenticateRequest{Credential: &authv1.AuthenticateRequest_Bearer{Bearer: token}},
	)
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
}

func (u *users) EnsureUser(_ context.Context, in *userv1.EnsureUserRequest) (*userv1.EnsureUserResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls = append(u.calls, in)
	key := in.GetIssuer() + " " + in.GetSubject()
	if u.ids[key] == "" {
		u.ids[key] = id.New(id.User)
	}
	return &userv1.EnsureUserResponse{User: &userv1.User{Id: u.ids[key]}}, nil
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

// logs collects the log.
type logs struct {
	mu sync.Mutex
	b  []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *logs) Sync() error { return nil }

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

func identityKeys() map[string]ed25519.PublicKey {
	keys := map[string]ed25519.PublicKey{}
	for _, name := range []string{"gateway", "auth", "order"} {
		keys[name] = identity.DeriveKey(seed, name).Public().(ed25519.PublicKey)
	}
	return keys
}

func (h *harness) guests() *credential.Guests {
	g, err := credential.NewGuests(secret, h.clock)
	require.NoError(h.t, err)
	return g
}
