// Package moduletest runs a service in a test, as a process would: through its module's own Build, with its real
// database, Redis and NATS, and with fakes of the services that it calls.
//
//	s := moduletest.Start(t, cart.Module,
//		moduletest.Fake("product", func(r grpc.ServiceRegistrar) {
//			productv1.RegisterProductServiceServer(r, catalogue)
//		}))
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
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/gen/go/souk/services"
	"souk/pkg/clock"
	"souk/pkg/config"
	"souk/pkg/cqrs"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/permission"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
	"souk/pkg/waittest"
)

// gateway is the service that asserts who calls.
const gateway = "gateway"

// Service is a running service.
type Service struct {
	// Pool is on the service's database. It is nil if the service has none.
	Pool *pgxpool.Pool
	// NATS is connected to the service's NATS server. It is nil if the service needs none and there is no
	// [OverNATS].
	NATS *nats.Conn

	t        testing.TB
	module   module.Module
	tree     map[string]any
	clock    clock.Clock
	fakes    map[string]func(grpc.ServiceRegistrar)
	settings *settings
	keyring  *keyring
	logs     *buffer
	admin    string // the address of the admin listener
	clients  map[string]grpc.ClientConnInterface
	signer   *identity.Signer // the gateway's
	stop     func() error     // stops the process, once, and returns its error
}

// Option changes how [Start] starts a service.
type Option func(*Service)

// Config sets fields of the service's section of the configuration. Unset fields keep their defaults.
func Config(fields map[string]any) Option {
	return func(s *Service) {
		section, _ := s.tree[s.module.Name].(map[string]any)
		section = maps.Clone(section)
		if section == nil {
			section = map[string]any{}
		}
		maps.Copy(section, fields)
		s.tree[s.module.Name] = section
	}
}

// Fake serves a contract in place of another service. With nil, or without a Fake, that service is down. Without a
// Fake, settings has what the test sets with [Service.Set], and keyring has a key for everybody until [Service.DestroyKeys].
func Fake(service string, register func(grpc.ServiceRegistrar)) Option {
	return func(s *Service) { s.fakes[service] = register }
}

// Clock replaces the system's clock.
func Clock(c clock.Clock) Option { return func(s *Service) { s.clock = c } }

// Redis replaces the Redis that the tests of a process share. Use it with redistest.Private if the service has keys
// that are the same in each test, or if the test stops Redis.
func Redis(cfg redisx.Config) Option {
	return func(s *Service) { s.tree["redis"] = redistest.Section(cfg) }
}

// Cache keeps what may be evicted in another Redis.
func Cache(cfg redisx.Config) Option {
	return func(s *Service) { s.tree["cache"] = redistest.Section(cfg) }
}

// Postgres gives the service a database of the test instead of one of its own, with a replica; "": none.
func Postgres(url, replica string, maxStaleness time.Duration) Option {
	return func(s *Service) {
		section := map[string]any{"url": url, "max_staleness": maxStaleness.String()}
		if replica != "" {
			section["replicas"] = map[string]any{s.module.Name: replica}
		}
		s.tree["postgres"] = section
	}
}

// Documents keeps the service's documents in the MongoDB with the URL.
func Documents(url string) Option {
	return func(s *Service) { s.tree["documents"] = map[string]any{"url": url} }
}

// OverNATS carries the calls over NATS. Otherwise they stay in the process.
func OverNATS() Option {
	return func(s *Service) { s.tree["rpc"] = map[string]any{"transport": "nats"} }
}

// Start starts a service and waits until it is ready. The service is stopped when the test ends; a service that fails
// fails the test. With SOUK_TEST_POOLED in the environment, PgBouncer is between the service and its database.
func Start(t testing.TB, m module.Module, opts ...Option) *Service {
	t.Helper()
	s := &Service{
		t: t, module: m, logs: &buffer{}, clients: map[string]grpc.ClientConnInterface{},
		fakes: map[string]func(grpc.ServiceRegistrar){}, settings: newSettings(), keyring: newKeyring(),
		tree: map[string]any{
			"identity": map[string]any{"seed": base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))},
			"redis":    redistest.Section(redistest.Config(t)),
			"log":      map[string]any{"level": "debug"},
		},
	}
	for _, o := range opts {
		o(s)
	}
	if replicated, ok := s.tree["postgres"].(map[string]any); ok {
		s.openPool(replicated["url"].(string)) //nolint:forcetypeassert // by the option
	} else if sets := m.Sets(); len(sets) > 0 {
		url := pgtest.URL(t, sets...)
		s.tree["postgres"] = map[string]any{"url": url}
		if os.Getenv("SOUK_TEST_POOLED") != "" {
			require.NoError(t, postgres.SetForRole(t.Context(), postgres.Config{URL: url, ByKey: !m.Scans}))
			s.tree["postgres"] = map[string]any{"url": pgtest.Pooler(t, url, 5), "pooled": true}
		}
		s.openPool(url)
	}
	if m.Tables.Outbox || m.NATS || s.tree["rpc"] != nil {
		server := natstest.Server(t)
		s.tree["nats"] = map[string]any{"url": server.URL()}
		s.NATS = natstest.Connect(t, server)
		s.provision()
	}
	s.run()
	return s
}

func (s *Service) openPool(url string) {
	s.t.Helper()
	pool, err := postgres.Open(s.t.Context(), postgres.Config{URL: url})
	require.NoError(s.t, err)
	s.t.Cleanup(pool.Close)
	s.Pool = pool
}

// provision creates the streams and the service's durable consumers, as the natsauth service does.
func (s *Service) provision() {
	s.t.Helper()
	var durables []outbox.Durable
	for _, known := range services.All() {
		for _, c := range known.Consumers {
			if known.Name == s.module.Name {
				durables = append(durables, outbox.NewDurable(known.Name, c.Purpose, c.Subjects))
			}
		}
	}
	js, err := jetstream.New(s.NATS)
	require.NoError(s.t, err)
	require.NoError(
		s.t,
		outbox.NewProvisioner(js, outbox.Streams{}, durables, zap.NewNop(), nil).Provision(s.t.Context()),
	)
}

// Another starts another process of the service, with the same configuration, fakes, clock and servers. Options change
// these.
func (s *Service) Another(opts ...Option) *Service {
	s.t.Helper()
	other := *s
	other.tree, other.fakes, other.logs = maps.Clone(s.tree), maps.Clone(s.fakes), &buffer{}
	other.clients = map[string]grpc.ClientConnInterface{}
	for _, o := range opts {
		o(&other)
	}
	other.run()
	return &other
}

// run starts the process. The service starts last and stops first, so that the fakes outlive it.
func (s *Service) run() {
	s.t.Helper()
	tree, err := config.FromMap(s.tree)
	require.NoError(s.t, err)
	var modules []module.Module
	for _, name := range services.Names() {
		if name != s.module.Name {
			modules = append(modules, s.other(name))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- module.Run(ctx, module.Options{
			Config: tree, Logs: s.logs, Clock: s.clock,
			OnReady: func(admin string) {
				s.admin = admin
				close(ready)
			},
		}, append(modules, s.module)...)
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return waittest.Receive(s.t, done)
	})
	select {
	case <-ready:
		s.t.Cleanup(s.Stop)
	case err := <-done:
		cancel()
		require.FailNow(s.t, "the service did not start", "%v\n%s", err, s.logs)
	case <-time.After(waittest.Timeout):
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
		register, given := s.fakes[name]
		switch {
		case given:
		case name == "settings":
			register = s.settings.register
		case name == "keyring":
			register = s.keyring.register
		}
		if register != nil {
			register(p.Server())
		}
		return module.Func(func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}), nil
	}}
}

// Stop stops the service before the test ends, draining. It may be called several times.
func (s *Service) Stop() {
	s.t.Helper()
	require.NoError(s.t, s.stop())
}

// Client reaches the service as another one.
func (s *Service) Client(caller string) grpc.ClientConnInterface {
	s.t.Helper()
	require.Contains(s.t, s.clients, caller, "there is no such service")
	return s.clients[caller]
}

// As returns a context in which the gateway asserts the actor. Use it with the gateway's client.
func (s *Service) As(a identity.Actor) context.Context {
	s.t.Helper()
	if a.IsUser() && a.RecentUntil.IsZero() {
		a.RecentUntil = time.Now().Add(time.Hour)
	}
	return identity.WithAssertion(s.t.Context(), s.signer.Assert(a))
}

// AsUser is [Service.As] for a signed-in user with roles, which have their default permissions.
func (s *Service) AsUser(userID string, roles ...string) context.Context {
	s.t.Helper()
	return s.As(User(userID, roles...))
}

// User returns a signed-in user with roles, which have their default permissions.
func User(userID string, roles ...string) identity.Actor {
	return identity.Actor{
		Kind: identity.KindUser, ID: userID, Roles: roles, Permissions: permission.Sets(nil).Of(roles),
	}
}

// Events returns the subjects of the events that the service has appended for an aggregate, in order, without those of
// the audit trail.
func (s *Service) Events(aggregateID string) []string {
	s.t.Helper()
	const sql = `select subject from outbox where aggregate_id = $1 and subject not like 'evt.audit.recorded.%' order by seq`
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

// Deliver publishes events and waits until the service has handled them.
func (s *Service) Deliver(source string, events ...event.Event) {
	s.t.Helper()
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
		s.Publish(e, source)
	}
	const sql = `select count(distinct event_id) from inbox where event_id = any($1)`
	waittest.Until(s.t, func() bool { return Value[int](s, sql, ids) == len(ids) }, "the events %v are not handled",
		ids)
}

// Rebuild rebuilds a projection of the service beside it, as souk projections rebuild does. source says what the
// aggregates of the projection's source are; nil if it has none.
func (s *Service) Rebuild(ctx context.Context, projection string, source cqrs.States) (int, error) {
	for _, p := range s.module.Projections {
		if p.Name == projection {
			return p.Rebuild(ctx, cqrs.DB{Pool: s.Pool, Documents: document.Open(s.Pool)}, source)
		}
	}
	return 0, errs.New(errs.NotFound, "%s has no projection %q", s.module.Name, projection)
}

// Value returns the only value that a query of the service's database returns.
func Value[T any](s *Service, sql string, args ...any) (v T) {
	s.t.Helper()
	require.NoError(s.t, s.Pool.QueryRow(context.Background(), sql, args...).Scan(&v), sql)
	return v
}

// RunJob inserts a job without arguments that is due at once, such as the next one of a retention.
func (s *Service) RunJob(kind, queue string) {
	s.t.Helper()
	_, err := s.Pool.Exec(context.Background(), `insert into river_job (kind, queue, args, max_attempts, scheduled_at)
		values ($1, $2, '{}', 1, '2000-01-01')`, kind, queue) // before the time of any clock
	require.NoError(s.t, err)
}

// Concurrently calls f(0) to f(n-1) at once and returns their errors.
func Concurrently(n int, f func(i int) error) []error {
	out := make([]error, n)
	var ready, wg sync.WaitGroup
	ready.Add(n)
	for i := range n {
		wg.Go(func() {
			ready.Done()
			ready.Wait()
			out[i] = f(i)
		})
	}
	wg.Wait()
	return out
}

// Logs returns the log lines so far, from level debug on. A line below warn takes up to 100 ms to appear. After
// [Service.Stop] the log is complete.
func (s *Service) Logs() string { return s.logs.String() }

// Metric returns the value of a counter or gauge, summed over its labels. It is 0 if there is no such metric.
func (s *Service) Metric(name string) (sum float64) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.admin+"/metrics", http.NoBody)
	require.NoError(s.t, err)
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	for line := range strings.Lines(string(body)) {
		// A line is "name value" or "name{labels} value".
		if rest, ok := strings.CutPrefix(line, name); ok && strings.ContainsAny(rest[:1], " {") {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " "):]), 64)
			require.NoError(s.t, err)
			sum += v
		}
	}
	return sum
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
