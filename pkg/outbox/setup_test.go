package outbox_test

import (
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

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/migration"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.Forgotten()...) }

const (
	patience = 60 * time.Second
	password = "the same after a restart"
)

// effects is where the tests' handlers write: one row each time one ran and was committed.
var effects = migration.Set{Name: "effects", FS: fstest.MapFS{
	"000001_effect.up.sql": {Data: []byte(`create table effect (
		n bigint generated always as identity, consumer text not null, event_id text not null,
		aggregate_id text not null, version bigint not null, lag double precision not null)`)},
	"000001_effect.down.sql": {Data: []byte(`drop table effect`)},
}}

// bundle is a service's database and a broker of the test's own.
type bundle struct {
	t     testing.TB
	pool  *pgxpool.Pool
	store string
	nats  *natsserver.Server
	nc    *nats.Conn
	js    jetstream.JetStream
}

func setup(t testing.TB) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pgtest.New(t, outbox.Migrations(), effects), store: t.TempDir()}
	b.nats = natstest.Start(t, natsserver.Options{StoreDir: b.store, NoSync: true, Password: password})
	b.connect()
	return b
}

// connect dials over TCP, so that the connection survives the server.
func (b *bundle) connect() {
	b.t.Helper()
	closed := make(chan struct{})
	nc, err := nats.Connect(b.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(b.t, err)
	b.t.Cleanup(func() { nc.Close(); <-closed })
	b.nc = nc
	b.js, err = jetstream.New(nc)
	require.NoError(b.t, err)
}

// restartNATS stops the server, does what is to be done meanwhile, and starts it on the same port.
func (b *bundle) restartNATS(meanwhile func()) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o := natsserver.Options{StoreDir: b.store, NoSync: true, Password: password}
	port(b.t, b.nats.URL(), &o)
	require.NoError(b.t, b.nats.Stop(ctx))
	meanwhile()
	b.nats = natstest.Start(b.t, o)
}

type runnable interface {
	Run(context.Context) error
	Ready(context.Context) error
}

// run runs r until the test ends or stop is called.
func (b *bundle) run(r runnable) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.NoError(b.t, err)
		case <-time.After(patience):
			require.Fail(b.t, "it does not stop")
		}
	}
	b.t.Cleanup(stop)
	b.eventually(func() bool { return r.Ready(ctx) == nil }, "it does not get ready")
	return stop
}

func (b *bundle) relay() *outbox.Relay {
	return outbox.NewRelay(b.pool, b.js, outbox.Options{Service: "order", Metrics: prometheus.NewRegistry()})
}

// options of a consumer that writes an effect for each event.
func (b *bundle) options(service string) outbox.ConsumerOptions {
	return outbox.ConsumerOptions{
		Service: service, Purpose: "test", Subjects: []string{"evt.>"},
		Handler:    effect(service),
		Backoff:    []time.Duration{20 * time.Millisecond, 50 * time.Millisecond},
		MaxDeliver: 3,
		AckWait:    2 * time.Second,
	}
}

func (b *bundle) consumer(o outbox.ConsumerOptions) *outbox.Consumer {
	return outbox.NewConsumer(b.js, b.pool, o)
}

func effect(service string) outbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		_, err := tx.Exec(ctx, `insert into effect (consumer, event_id, aggregate_id, version, lag) values ($1, $2, $3, $4, $5)`,
			service, e.ID, e.AggregateID, e.AggregateVersion, time.Since(e.Time).Seconds())
		return postgres.Err(err)
	}
}

func (b *bundle) event(aggregate string, version int64) event.Event {
	b.t.Helper()
	e, err := event.New(context.Background(), "evt.order.created", aggregate, version, time.Now(), &orderv1.OrderCreated{OrderId: aggregate})
	require.NoError(b.t, err)
	return e
}

// events makes n events of one aggregate.
func (b *bundle) events(aggregate string, n int) []event.Event {
	list := make([]event.Event, n)
	for i := range list {
		list[i] = b.event(aggregate, int64(i+1))
	}
	return list
}

func (b *bundle) append(events ...event.Event) {
	b.t.Helper()
	require.NoError(b.t, outbox.Append(context.Background(), b.pool, events...))
}

func (b *bundle) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

func (b *bundle) effects(consumer string) int {
	return b.count(`select count(*) from effect where consumer = $1`, consumer)
}

func (b *bundle) pending() int { return b.count(`select count(*) from outbox where sent_at is null`) }

func (b *bundle) eventually(ok func() bool, msg string, args ...any) {
	b.t.Helper()
	require.Eventually(b.t, ok, patience, 10*time.Millisecond, append([]any{msg}, args...)...)
}

// exactly waits until the consumer had n effects, and checks that no event had two and that every
// aggregate's came in order.
func (b *bundle) exactly(consumer string, n int) {
	b.t.Helper()
	b.once(consumer, n)
	require.Zero(b.t, b.count(`
		select count(*) from (
			select version, lag(version, 1, 0::bigint) over (partition by aggregate_id order by n) as before
			from effect where consumer = $1) e
		where version <= before`, consumer), "out of order")
}

// once is exactly without the order, which a connection that breaks may change: what was on its way comes
// again later.
func (b *bundle) once(consumer string, n int) {
	b.t.Helper()
	b.eventually(func() bool { return b.effects(consumer) >= n }, "effects are missing")
	b.settled(consumer)
	require.Equal(b.t, n, b.effects(consumer))
	require.Equal(b.t, n, b.count(`select count(distinct event_id) from effect where consumer = $1`, consumer))
}

// settled waits until the consumer has seen and acknowledged all that is on the stream.
func (b *bundle) settled(service string) {
	b.t.Helper()
	b.eventually(func() bool {
		cons, err := b.js.Consumer(context.Background(), outbox.StreamEvents, service+"_test")
		if err != nil {
			return false
		}
		i := cons.CachedInfo()
		return i.NumPending == 0 && i.NumAckPending == 0
	}, "the consumer does not come to an end")
}

func (b *bundle) streamMessages() uint64 {
	b.t.Helper()
	s, err := b.js.Stream(context.Background(), outbox.StreamEvents)
	require.NoError(b.t, err)
	return s.CachedInfo().State.Msgs
}

func (b *bundle) dead() []outbox.Dead {
	b.t.Helper()
	list, err := outbox.ListDead(context.Background(), b.js, 100)
	require.NoError(b.t, err)
	return list
}

var errRefused = errs.New(errs.Unprocessable, "the handler does not want it")

func aggregate(i int) string { return fmt.Sprintf("ord_%03d", i) }
