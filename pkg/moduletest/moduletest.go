// Package moduletest runs a service in a test, as a process would: through its module's own Build, with its real
// database, Redis and NATS, and with fakes of the services that it calls.
//
//	s := moduletest.Start(t, cart.Module,
//		moduletest.Fake("product", func(r grpc.ServiceRegistrar) { productv1.RegisterProductServiceServer(r, catalogue) }))
//	carts := cartv1.NewCartServiceClient(s.Client("gateway"))
//	_, err := carts.GetCart(s.As(identity.Actor{Kind: identity.KindUser, ID: "usr_1"}), &cartv1.GetCartRequest{})
//
// So a test sees what a user of the service sees, and the wiring is tested with every test. A test of one part of a
// service, such as a repository under a manual clock, builds that part itself.
package moduletest

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"souk/gen/go/souk/services"
	"souk/pkg/clock"
	"souk/pkg/config"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/natstest"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/redistest"
)

// Timeout bounds the start and the stop of a service, and each wait of [Eventually] and [Receive].
const Timeout = 30 * time.Second

// gateway is the service that asserts who calls.
const gateway = "gateway"

// Service is a running service.
type Service struct {
	// Pool is on the service's database. It is nil if the service has none.
	Pool *pgxpool.Pool
	// NATS is connected to the service's NATS server. It is nil if the service has neither an outbox nor [OverNATS].
	NATS *nats.Conn

	t       testing.TB
	module  module.Module
	tree    map[string]any
	clock   clock.Clock
	fakes   map[string]func(grpc.ServiceRegistrar)
	logs    *buffer
	clients map[string]grpc.ClientConnInterface
	signer  *identity.Signer // the gateway's
	stop    func()
}

// Option changes how [Start] starts a service.
type Option func(*Service)

// Config sets the service's section of the configuration. Unset fields keep their defaults.
func Config(section map[string]any) Option {
	return func(s *Service) { s.tree[s.module.Name] = section }
}

// Fake serves a contract in place of another service.
func Fake(service string, register func(grpc.ServiceRegistrar)) Option {
	return func(s *Service) { s.fakes[service] = register }
}

// Clock replaces the system's clock.
func Clock(c clock.Clock) Option { return func(s *Service) { s.clock = c } }

// OverNATS carries the calls over NATS. Otherwise they stay in the process.
func OverNATS() Option {
	return func(s *Service) { s.tree["rpc"] = map[string]any{"transport": "nats"} }
}

// Start starts a service and waits until it is ready. The service is stopped when the test ends; a service that fails
// fails the test.
func Start(t testing.TB, m module.Module, opts ...Option) *Service {
	t.Helper()
	s := &Service{
		t: t, module: m, logs: &buffer{}, clients: map[string]grpc.ClientConnInterface{},
		fakes: map[string]func(grpc.ServiceRegistrar){},
		tree: map[string]any{
			"identity": map[string]any{"seed": base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))},
			"redis":    map[string]any{"addr": redistest.Addr(t)},
		},
	}
	for _, o := range opts {
		o(s)
	}
	if sets := m.Sets(); len(sets) > 0 {
		url := pgtest.URL(t, sets...)
		s.tree["postgres"] = map[string]any{"url": url}
		pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		s.Pool = pool
	}
	if m.Tables.Outbox || s.tree["rpc"] != nil {
		server := natstest.Server(t)
		s.tree["nats"] = map[string]any{"url": server.URL()}
		s.NATS = natstest.Connect(t, server)
	}
	s.run()
	return s
}

// run starts the process.
func (s *Service) run() {
	s.t.Helper()
	tree, err := config.FromMap(s.tree)
	require.NoError(s.t, err)
	modules := []module.Module{s.module}
	for _, name := range services.Names() {
		if name != s.module.Name {
			modules = append(modules, s.other(name))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- module.Run(ctx, module.Options{
			Config: tree, Logs: s.logs, Clock: s.clock, OnReady: func(string) { close(ready) },
		}, modules...)
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(s.t, Receive(s.t, done))
	})
	select {
	case <-ready:
		s.t.Cleanup(s.stop)
	case err := <-done:
		cancel()
		require.FailNow(s.t, "the service did not start", "%v\n%s", err, s.logs)
	case <-time.After(Timeout):
		cancel()
		require.FailNow(s.t, "the service is not ready", "%s", s.logs)
	}
}

// other is a module in place of another service: it calls the service under test, and serves a fake if there is one.
func (s *Service) other(name string) module.Module {
	return module.Module{Name: name, Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
		conn, err := p.Client()
		if err != nil {
			return nil, err
		}
		s.clients[name] = conn
		if name == gateway {
			s.signer = p.Signer()
		}
		if register := s.fakes[name]; register != nil {
			register(p.Server())
		}
		return module.Func(func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}), nil
	}}
}

// Stop stops the service before the test ends, draining. It may be called several times.
func (s *Service) Stop() { s.stop() }

// Client reaches the service as another one.
func (s *Service) Client(caller string) grpc.ClientConnInterface {
	s.t.Helper()
	require.Contains(s.t, s.clients, caller, "there is no such service")
	return s.clients[caller]
}

// As returns a context in which the gateway asserts the actor. Use it with the gateway's client.
func (s *Service) As(a identity.Actor) context.Context {
	s.t.Helper()
	token, _, err := s.signer.Sign(a)
	require.NoError(s.t, err)
	return identity.WithToken(s.t.Context(), token)
}

// AsUser is [Service.As] for a signed-in user with roles.
func (s *Service) AsUser(userID string, roles ...string) context.Context {
	s.t.Helper()
	return s.As(identity.Actor{Kind: identity.KindUser, ID: userID, Roles: roles})
}

// Events returns the subjects of the events that the service has appended for an aggregate, in order.
func (s *Service) Events(aggregateID string) []string {
	s.t.Helper()
	const sql = `select subject from outbox where aggregate_id = $1 order by seq`
	rows, err := s.Pool.Query(context.Background(), sql, aggregateID)
	require.NoError(s.t, err)
	subjects, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	return subjects
}

// Publish publishes an event, as the relay of another service does.
func (s *Service) Publish(e event.Event, source string) {
	s.t.Helper()
	js, err := jetstream.New(s.NATS)
	require.NoError(s.t, err)
	_, err = js.PublishMsg(s.t.Context(), e.Msg(source))
	require.NoError(s.t, err)
}

// Logs returns the log lines so far.
func (s *Service) Logs() string { return s.logs.String() }

// Receive returns the next value of c. It fails the test if none arrives within [Timeout].
func Receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Timeout):
		require.FailNow(t, "no value arrived")
		panic("unreachable")
	}
}

// Eventually waits until ok returns true. It fails the test after [Timeout].
func Eventually(t testing.TB, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, Timeout, 5*time.Millisecond)
}

// buffer takes log lines from several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
