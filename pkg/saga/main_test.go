package saga_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/errs"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/saga"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childScenario) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// timeout bounds each wait of a test. It is long, because the machine may be busy.
const timeout = 30 * time.Second

const (
	// lease is the default lease of test runners. It is long enough to be renewed in time on a busy machine. No test
	// waits until it expires.
	lease = 10 * time.Second
	// shortLease is for tests in which sagas are taken over when their leases expire.
	shortLease = 600 * time.Millisecond
	// poll is the poll interval of test runners.
	poll = 50 * time.Millisecond
)

// input is what test sagas are started with.
type input struct {
	// Refuse names the step whose participant refuses.
	Refuse string
	// Down names the step whose participant fails as internal.
	Down string
}

// harness is the database, the participants and the runner of one test.
type harness struct {
	pool     *pgxpool.Pool
	url      string
	services *participants
	def      saga.Definition
	runner   *saga.Runner
	reg      *prometheus.Registry
}

func tables() []migration.Set {
	return []migration.Set{saga.Migrations(), {Name: "sagatest", FS: fstest.MapFS{
		"000001_test.up.sql":   {Data: []byte(testTables)},
		"000001_test.down.sql": {Data: []byte(`drop table orders, participant_op, effect`)},
	}}}
}

// setup returns a harness with a running runner. The type of its definition must be unique in the package, because
// failpoints are global.
func setup(t testing.TB, typ string, change ...func(*harness, *saga.Options)) *harness {
	t.Helper()
	url := pgtest.URL(t, tables()...)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 16})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	h := &harness{pool: pool, url: url, services: newParticipants(pool)}
	h.def = h.services.checkout(typ)
	h.runner = h.start(t, change...)
	return h
}

// start starts another runner on the harness's database.
func (h *harness) start(t testing.TB, change ...func(*harness, *saga.Options)) *saga.Runner {
	t.Helper()
	h.reg = prometheus.NewRegistry()
	o := saga.Options{
		Lease: lease, Poll: poll, StepTimeout: lease,
		MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, MaxAttempts: 5, Metrics: h.reg,
	}
	for _, c := range change {
		c(h, &o)
	}
	o.Definitions = append(o.Definitions, h.def)
	r, err := saga.NewRunner(h.pool, o)
	require.NoError(t, err)
	run(t, r)
	return r
}

// run runs r until the test ends or stop is called.
func run(t testing.TB, r *saga.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		require.NoError(t, waittest.Receive(t, done))
	}
	t.Cleanup(stop)
	return stop
}

// begin starts a saga and inserts its order.
func (h *harness) begin(ctx context.Context, r *saga.Runner, id string, in input) error {
	var batch pgx.Batch
	batch.Queue(`insert into orders (id, status) values ($1, 'pending')`, id)
	if err := r.Start(ctx, &batch, h.def.Type, id, in); err != nil {
		return err
	}
	return postgres.SendBatch(ctx, h.pool, &batch)
}

// execute starts a saga and runs it to its outcome.
func (h *harness) execute(t testing.TB, id string, in input) saga.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	require.NoError(t, h.begin(ctx, h.runner, id, in))
	o, err := h.runner.Execute(ctx, id)
	require.NoError(t, err)
	return o
}

// waitState waits until the saga is in one of the states.
func (h *harness) waitState(t testing.TB, id string, states ...saga.State) saga.History {
	t.Helper()
	var s saga.History
	eventually(t, func(ctx context.Context) error {
		var err error
		if s, err = saga.Show(ctx, h.pool, id); err != nil {
			return err
		}
		for _, state := range states {
			if s.State == state {
				return nil
			}
		}
		return fmt.Errorf("saga %s is %s at step %d (%s)", id, s.State, s.Step, s.LastError)
	})
	return s
}

// eventually calls f until it returns nil.
func eventually(t testing.TB, f func(ctx context.Context) error) {
	t.Helper()
	var err error
	defer func() { require.NoError(t, err) }() // the last error says what is wrong
	waittest.Until(t, func() bool {
		err = f(t.Context())
		return err == nil
	}, "f still fails")
}

// gate holds the first n goroutines that enter it.
type gate struct {
	n       int32
	count   atomic.Int32
	arrived chan struct{} // receives when a goroutine is held
	opened  chan struct{}
}

func newGate(n int32) *gate {
	return &gate{n: n, arrived: make(chan struct{}, n), opened: make(chan struct{})}
}

// enter waits until the gate is open or the test ends, unless n goroutines have entered before.
func (g *gate) enter(t testing.TB) {
	if g.count.Add(1) > g.n {
		return
	}
	g.arrived <- struct{}{}
	select {
	case <-g.opened:
	case <-t.Context().Done():
	}
}

func (g *gate) open() { close(g.opened) }

// expireLease makes the saga's lease expire in the database.
func (h *harness) expireLease(t testing.TB, id string) {
	t.Helper()
	_, err := h.pool.Exec(t.Context(), `update saga set lease_until = now() - interval '1 second' where id = $1`, id)
	require.NoError(t, err)
}

// expireDeadline makes the saga's deadline pass in the database. Its present owner does not notice.
func (h *harness) expireDeadline(ctx context.Context, id string) error {
	_, err := h.pool.Exec(ctx, `update saga set deadline = now() - interval '1 second' where id = $1`, id)
	return err
}

func unavailable() error { return errs.New(errs.Unavailable, "out of reach") }

// metric sums the metrics of a family.
func (h *harness) metric(t testing.TB, name string) (total float64) {
	t.Helper()
	families, err := h.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}
