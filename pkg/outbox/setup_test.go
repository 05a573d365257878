package outbox_test

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/migration"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.IgnoreServerLeaks()...) }

const (
	timeout  = 60 * time.Second
	password = "the same after a restart"
)

// effects is the table that the tests' handlers write to: one row for each call that was committed.
var effects = migration.Set{Name: "effects", FS: fstest.MapFS{
	"000001_effect.up.sql": {Data: []byte(`create table effect (
		n bigint generated always as identity, consumer text not null, event_id text not null,
		aggregate_id text not null, version bigint not null, lag double precision not null)`)},
	"000001_effect.down.sql": {Data: []byte(`drop table effect`)},
}}

// harness is a service's database and a NATS server, both private to the test.
type harness struct {
	t     testing.TB
	pool  *pgxpool.Pool
	store string
	nats  *natsserver.Server
	nc    *nats.Conn
	js    jetstream.JetStream

	streams outbox.Streams
	urls    string // of a cluster; empty: nats alone
}

func setup(t testing.TB) *harness {
	t.Helper()
	h := &harness{t: t, pool: pgtest.New(t, outbox.Migrations(), effects), store: t.TempDir()}
	h.nats = natstest.Start(t, natsserver.Options{StoreDir: h.store, NoSync: true, Password: password})
	h.connect()
	return h
}

// connect dials over TCP, so that the connection survives a restart of the server.
func (h *harness) connect() {
	h.t.Helper()
	closed := make(chan struct{})
	urls := cmp.Or(h.urls, h.nats.URL())
	nc, err := nats.Connect(urls, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(h.t, err)
	h.t.Cleanup(func() {
		nc.Close()
		waittest.Receive(h.t, closed)
	})
	h.nc = nc
	h.js, err = jetstream.New(nc)
	require.NoError(h.t, err)
}

// behindPooler lets the test reach its database through PgBouncer, which has fewer connections than the test.
func (h *harness) behindPooler() {
	h.t.Helper()
	url := pgtest.Pooler(h.t, h.pool.Config().ConnString(), 3)
	pool, err := postgres.Open(h.t.Context(), postgres.Config{URL: url, Pooled: true, MaxConns: 16})
	require.NoError(h.t, err)
	h.t.Cleanup(pool.Close)
	h.pool = pool
}

// restartNATS stops the server, calls meanwhile, and starts the server again on the same port.
func (h *harness) restartNATS(meanwhile func()) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	o := natsserver.Options{StoreDir: h.store, NoSync: true, Password: password}
	port(h.t, h.nats.URL(), &o)
	require.NoError(h.t, h.nats.Stop(ctx))
	meanwhile()
	h.nats = natstest.Start(h.t, o)
}

// provision creates the streams and durable consumers.
func (h *harness) provision(durables ...outbox.Durable) {
	h.t.Helper()
	p := outbox.NewProvisioner(h.js, outbox.Streams{}, durables, zap.NewNop(), nil)
	require.NoError(h.t, p.Provision(h.t.Context()))
}

type runnable interface {
	Run(context.Context) error
	Ready(context.Context) error
}

// run runs r, and a provisioner of what it needs, until the test ends or stop is called. It returns when r is ready.
func (h *harness) run(r runnable) (stop func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	var durables []outbox.Durable
	if c, ok := r.(*outbox.Consumer); ok {
		durables = append(durables, c.Durable())
	}
	provisioner := outbox.NewProvisioner(h.js, h.streams, durables, zap.NewNop(), nil)
	go func() { done <- provisioner.Run(ctx) }()
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(h.t, waittest.Receive(h.t, done))
		require.NoError(h.t, waittest.Receive(h.t, done))
	}
	h.t.Cleanup(stop)
	waittest.Until(h.t, func() bool { return r.Ready(ctx) == nil }, "Ready still fails")
	return stop
}

func (h *harness) relay() *outbox.Relay {
	return outbox.NewRelay(h.pool, h.js, outbox.Options{Service: "order", Metrics: prometheus.NewRegistry()})
}

// options returns the options of a consumer that writes an effect for each event.
func (h *harness) options(service string) outbox.ConsumerOptions {
	return outbox.ConsumerOptions{
		Service: service, Purpose: "test", Subjects: []string{"evt.>"},
		Handler:    effect(service),
		Backoff:    []time.Duration{20 * time.Millisecond, 50 * time.Millisecond},
		MaxDeliver: 3,
		AckWait:    2 * time.Second,
	}
}

func (h *harness) consumer(o outbox.ConsumerOptions) *outbox.Consumer {
	return outbox.NewConsumer(h.js, h.pool, o)
}

func effect(service string) outbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		_, err := tx.Exec(ctx,
			`insert into effect (consumer, event_id, aggregate_id, version, lag) values ($1, $2, $3, $4, $5)`,
			service, e.ID, e.AggregateID, e.AggregateVersion, time.Since(e.Time).Seconds())
		return postgres.Err(err)
	}
}

func (h *harness) event(aggregate string, version int64) event.Event {
	h.t.Helper()
	e, err := event.New(context.Background(), "evt.order.created", aggregate, version, time.Now(),
		&orderv1.OrderCreated{OrderId: aggregate})
	require.NoError(h.t, err)
	return e
}

// events returns n events of one aggregate, with versions from 1.
func (h *harness) events(aggregate string, n int) []event.Event {
	list := make([]event.Event, n)
	for i := range list {
		list[i] = h.event(aggregate, int64(i+1))
	}
	return list
}

func (h *harness) append(events ...event.Event) {
	h.t.Helper()
	require.NoError(h.t, outbox.Append(context.Background(), h.pool, events...))
}

func (h *harness) count(sql string, args ...any) int {
	h.t.Helper()
	var n int
	require.NoError(h.t, h.pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

func (h *harness) effects(consumer string) int {
	return h.count(`select count(*) from effect where consumer = $1`, consumer)
}

func (h *harness) pending() int { return h.count(`select count(*) from outbox where sent_at is null`) }

// exactly waits for n effects of the consumer. It requires one effect per event, in order for each aggregate.
func (h *harness) exactly(consumer string, n int) {
	h.t.Helper()
	h.once(consumer, n)
	require.Zero(h.t, h.count(`
		select count(*) from (
			select version, lag(version, 1, 0::bigint) over (partition by aggregate_id order by n) as before
			from effect where consumer = $1) e
		where version <= before`, consumer), "out of order")
}

// once is exactly without the order, which a broken connection may change: events in flight are redelivered later.
func (h *harness) once(consumer string, n int) {
	h.t.Helper()
	waittest.Until(h.t, func() bool { return h.effects(consumer) >= n }, "effects are missing")
	h.drained(consumer)
	require.Equal(h.t, n, h.effects(consumer))
	require.Equal(h.t, n, h.count(`select count(distinct event_id) from effect where consumer = $1`, consumer))
}

// drained waits until the consumer has acknowledged every message of the stream.
func (h *harness) drained(service string) {
	h.t.Helper()
	waittest.Until(h.t, func() bool {
		cons, err := h.js.Consumer(context.Background(), outbox.StreamEvents, service+"_test")
		if err != nil {
			return false
		}
		i := cons.CachedInfo()
		return i.NumPending == 0 && i.NumAckPending == 0
	}, "messages are not acknowledged")
}

func (h *harness) streamMessages() uint64 {
	h.t.Helper()
	s, err := h.js.Stream(context.Background(), outbox.StreamEvents)
	require.NoError(h.t, err)
	return s.CachedInfo().State.Msgs
}

func (h *harness) dead() []outbox.Dead {
	h.t.Helper()
	list, err := outbox.ListDead(context.Background(), h.js, 100)
	require.NoError(h.t, err)
	return list
}

var errRefused = errs.New(errs.Unprocessable, "the handler does not want it")

func aggregate(i int) string { return fmt.Sprintf("ord_%03d", i) }
