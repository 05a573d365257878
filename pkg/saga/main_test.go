package saga_test

import (
	"context"
	"fmt"
	"os"
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
)

func TestMain(m *testing.M) {
	if os.Getenv(childScenario) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// input is what test sagas are started with.
type input struct {
	// Refuse names the step whose participant refuses.
	Refuse string
	// Down names the step whose participant cannot be reached.
	Down string
}

// bundle is one test's database, participants and runner.
type bundle struct {
	pool   *pgxpool.Pool
	url    string
	people *participants
	def    saga.Definition
	runner *saga.Runner
	reg    *prometheus.Registry
}

// testLease is short, so that tests need not wait long; the machine may be busy, so not very short.
const testLease = 600 * time.Millisecond

func tables() []migration.Set {
	return []migration.Set{saga.Migrations(), {Name: "sagatest", FS: fstest.MapFS{
		"000001_test.up.sql":   {Data: []byte(testTables)},
		"000001_test.down.sql": {Data: []byte(`drop table orders, participant_op, effect`)},
	}}}
}

// setup returns a running runner. Its definition has the test's own type, as failpoints are the process's.
func setup(t testing.TB, typ string, change ...func(*bundle, *saga.Options)) *bundle {
	t.Helper()
	url := pgtest.URL(t, tables()...)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 16})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := &bundle{pool: pool, url: url, people: newParticipants(pool)}
	b.def = b.people.checkout(typ)
	b.runner = b.start(t, change...)
	return b
}

// start starts another runner on the bundle's database.
func (b *bundle) start(t testing.TB, change ...func(*bundle, *saga.Options)) *saga.Runner {
	t.Helper()
	b.reg = prometheus.NewRegistry()
	o := saga.Options{
		Lease: testLease, Poll: 50 * time.Millisecond, StepTimeout: 2 * time.Second,
		MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, MaxAttempts: 5, Metrics: b.reg,
	}
	for _, c := range change {
		c(b, &o)
	}
	o.Definitions = append(o.Definitions, b.def)
	r, err := saga.NewRunner(b.pool, o)
	require.NoError(t, err)
	run(t, r)
	return r
}

// run runs r until the test ends, or the function it returns is called.
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
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(patience):
			require.Fail(t, "the runner does not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}

// begin starts a saga together with its order.
func (b *bundle) begin(ctx context.Context, r *saga.Runner, id string, in input) error {
	var batch pgx.Batch
	batch.Queue(`insert into orders (id, status) values ($1, 'pending')`, id)
	if err := r.Start(ctx, &batch, b.def.Type, id, in); err != nil {
		return err
	}
	return postgres.SendBatch(ctx, b.pool, &batch)
}

// execute starts a saga and runs it to its outcome.
func (b *bundle) execute(t testing.TB, id string, in input) saga.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, b.begin(ctx, b.runner, id, in))
	o, err := b.runner.Execute(ctx, id)
	require.NoError(t, err)
	return o
}

// until waits until the saga is in one of the states.
func (b *bundle) until(t testing.TB, id string, states ...saga.State) saga.Story {
	t.Helper()
	var s saga.Story
	eventually(t, func(ctx context.Context) error {
		var err error
		if s, err = saga.Show(ctx, b.pool, id); err != nil {
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

func eventually(t testing.TB, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			require.NoError(t, err)
		}
	}
}

func unavailable() error { return errs.New(errs.Unavailable, "out of reach") }

// metric sums the metrics of a family.
func (b *bundle) metric(t testing.TB, name string) (total float64) {
	t.Helper()
	families, err := b.reg.Gather()
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
