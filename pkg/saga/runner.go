package saga

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
)

// Options configures a runner. Only Definitions is required.
type Options struct {
	// Definitions are the sagas that this runner knows. A type has several versions while sagas of old ones still
	// run.
	Definitions []Definition
	// Lease is how long a saga stays with a runner that does not renew it. 0 means 2 s.
	Lease time.Duration
	// Poll is the interval at which the runner looks for sagas that no runner holds. 0 means an eighth of Lease.
	Poll time.Duration
	// Workers is how many sagas run in the background at the same time. Sagas in Execute do not count. 0 means 128.
	Workers int
	// Queue is how many sagas may wait for a worker. Further ones are released and claimed later. 0 means 2048.
	Queue int
	// StepTimeout bounds one attempt of a step without its own Timeout. 0 means 5 s.
	StepTimeout time.Duration
	// MinBackoff and MaxBackoff bound the delay between two attempts. 0 means 50 ms and 30 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxAttempts is how often a step may fail as internal before its saga is parked, if the saga is past its pivot
	// or compensates. 0 means 30, which takes about ten minutes. A step that is unavailable or times out is retried
	// for ever.
	MaxAttempts int
	// Drain is how long Run waits at its end for sagas that have a caller. 0 means 5 s.
	Drain time.Duration
	// Keep is the retention of ended sagas. 0 means 7 days, a negative value for ever.
	Keep time.Duration
	// Owner names the runner. The name must be unique among running processes, because a restarted process claims the
	// sagas of its predecessor at once, by its name. A duplicate name costs repeated work, but not correctness:
	// epochs fence it. "" means a new name at each start. The sagas of a dead process are then claimed when their
	// leases expire.
	Owner string
	// Logger may be nil.
	Logger *zap.Logger
	// Metrics registers the runner's metrics. It may be nil.
	Metrics prometheus.Registerer
	// Tracer starts a span for each attempt of a step in a sampled trace. It may be nil.
	Tracer trace.Tracer
	// Clock gives the times in histories. Leases and deadlines are in database time. Nil means the system's clock.
	Clock clock.Clock
}

func (o Options) withDefaults() Options {
	o.Lease = cmp.Or(o.Lease, 2*time.Second)
	o.Poll = cmp.Or(o.Poll, o.Lease/8)
	o.Workers = cmp.Or(o.Workers, 128)
	o.Queue = cmp.Or(o.Queue, 2048)
	o.StepTimeout = cmp.Or(o.StepTimeout, 5*time.Second)
	o.MinBackoff = cmp.Or(o.MinBackoff, 50*time.Millisecond)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 30*time.Second)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 30)
	o.Drain = cmp.Or(o.Drain, 5*time.Second)
	o.Keep = cmp.Or(o.Keep, 7*24*time.Hour)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	return o
}

// Runner starts sagas, runs them, and takes over those of dead runners. It is safe for concurrent use.
type Runner struct {
	opts    Options
	log     *zap.Logger
	tracer  trace.Tracer
	clock   clock.Clock
	metrics *metrics
	store   *store
	name    string
	begun   time.Time

	plans    map[version]*plan
	newest   map[string]*plan
	types    []string
	versions []int32

	queue chan *exec
	drain chan struct{} // closed when Run begins to stop
	base  context.Context
	stop  context.CancelFunc

	mu             sync.Mutex
	started        map[string]*exec // by Start, before Execute or Detach
	held           map[string]*exec
	closed         bool
	foregroundRuns sync.WaitGroup // goroutines of Execute
	ran            atomic.Bool
	lastSeen       atomic.Int64 // when the database last answered the runner's own queries, or 0
}

type version struct {
	typ string
	n   int
}

// NewRunner returns a runner for the sagas in pool's database. It returns an error if the options are invalid.
func NewRunner(pool *pgxpool.Pool, o Options) (*Runner, error) {
	o = o.withDefaults()
	r := &Runner{
		opts: o, log: o.Logger, tracer: o.Tracer, clock: o.Clock, begun: time.Now(),
		plans: map[version]*plan{}, newest: map[string]*plan{},
		queue: make(chan *exec, o.Queue), drain: make(chan struct{}),
		started: map[string]*exec{}, held: map[string]*exec{},
	}
	if strings.Contains(o.Owner, "#") {
		return nil, fmt.Errorf("saga: the owner's name %q must not hold #", o.Owner)
	}
	r.name = o.Owner
	name := o.Owner
	if name == "" {
		name, _ = os.Hostname() // only for people to read
	}
	r.store = newStore(pool, name+"#"+uuid.NewString())
	for _, d := range o.Definitions {
		if err := d.validate(); err != nil {
			return nil, err
		}
		v := version{d.Type, d.Version}
		if r.plans[v] != nil {
			return nil, fmt.Errorf("saga %s version %d is defined twice", d.Type, d.Version)
		}
		p := newPlan(d)
		r.plans[v] = p
		if n := r.newest[d.Type]; n == nil || n.Version < d.Version {
			r.newest[d.Type] = p
		}
		r.types = append(r.types, d.Type)
		r.versions = append(r.versions, int32(d.Version)) //nolint:gosec // versions are small
	}
	var err error
	if r.metrics, err = newMetrics(o.Metrics); err != nil {
		return nil, fmt.Errorf("saga: metrics: %w", err)
	}
	r.base, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// Start queues the row of a new saga in the caller's batch. The caller adds rows of its own, sends the batch, and
// then calls Execute or Detach. If it dies in between, another runner goes on. The saga's steps join the trace of
// ctx. If the ID is taken, the batch fails with a violation of saga_pkey.
//
// Errors: internal (unknown type, or input that cannot be marshalled), unavailable (the runner is stopping).
func (r *Runner) Start(ctx context.Context, b *pgx.Batch, typ, id string, input any) error {
	p := r.newest[typ]
	if p == nil {
		return errs.New(errs.Internal, "there is no saga of type %s", typ)
	}
	in, err := json.Marshal(input)
	if err != nil {
		return errs.Wrap(err, errs.Internal, "the saga's input cannot be kept")
	}
	parent := parentOf(ctx)
	x := r.newExec(
		p,
		&stored{
			id:      id,
			typ:     typ,
			version: p.Version,
			input:   in,
			state:   Running,
			epoch:   1,
			left:    p.Deadline,
			parent:  parent,
		},
	)
	x.run.decoded = input
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		x.cancel()
		return stopping()
	}
	if r.held[id] == nil {
		if old := r.started[id]; old != nil { // its batch failed and is sent again, perhaps with another input
			old.cancel()
		}
		r.started[id] = x
	} else {
		x.cancel()
	}
	lease, deadline := r.opts.Lease.Seconds(), p.Deadline.Seconds()
	postgres.QueueRow(b, sqlStart, id, typ, p.Version, in, r.store.owner, lease, deadline, parent)
	return nil
}

func stopping() *errs.Error {
	return errs.New(errs.Unavailable, "shutting down").WithRetryAfter(time.Second)
}

func (r *Runner) newExec(p *plan, s *stored) *exec {
	x := &exec{
		r: r, p: p, run: Run{id: s.id, epoch: s.epoch, input: s.input, results: s.results},
		state: s.state, step: s.step, saved: s.step, attempts: s.attempts, lastError: s.lastError, cause: s.cause,
		deadline: time.Now().Add(s.left), resolved: make(chan struct{}),
	}
	x.leased.Store(int64(time.Since(r.begun)))
	x.ctx, x.cancel = context.WithCancel(withParent(r.base, s.parent))
	x.run.ctx = x.ctx
	return x
}

// Execute runs a saga that was started here and waits for its outcome: Confirmed after its pivot (later steps run
// in the background), Compensated with the reason, or Parked if it can go neither forward nor back. If the saga
// already runs, here or elsewhere, Execute only waits.
//
// The error is not the saga's, which goes on.
//
// Errors: timeout (ctx ended first), unavailable, not_found.
func (r *Runner) Execute(ctx context.Context, id string) (Outcome, error) {
	x, fresh, err := r.take(id)
	if err != nil {
		return Outcome{}, err
	}
	if x == nil { // not started here, or no longer remembered
		claimed, err := r.store.claim(ctx, sqlClaimOne, r.store.owner, r.opts.Lease.Seconds(), r.types, r.versions, id)
		if err != nil {
			return Outcome{}, err
		}
		if len(claimed) == 0 {
			return r.Wait(ctx, id)
		}
		if x, fresh = r.adopt(claimed[0], true), true; x == nil {
			return r.Wait(ctx, id)
		}
	}
	if fresh {
		go r.foreground(x, ctx.Done())
	}
	return r.await(ctx, x)
}

// Detach runs a saga that was started here in the background.
func (r *Runner) Detach(id string) {
	x, fresh, err := r.take(id)
	if err != nil || x == nil || !fresh {
		return // it will be claimed when its lease expires
	}
	defer r.foregroundRuns.Done()
	if !r.enqueue(x) {
		r.finish(x, abandoned)
	}
}

// take moves a saga from started to held. If it did, fresh is true, and the caller must call foregroundRuns.Done.
func (r *Runner) take(id string) (x *exec, fresh bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false, stopping()
	}
	if x = r.held[id]; x != nil {
		return x, false, nil
	}
	if x = r.started[id]; x == nil {
		return nil, false, nil
	}
	delete(r.started, id)
	r.held[id] = x
	r.foregroundRuns.Add(1)
	r.metrics.started.WithLabelValues(x.p.Type).Inc()
	r.metrics.running.Inc()
	return x, true, nil
}

// adopt adds a claimed saga to held. It cancels an exec of an earlier epoch. It returns nil if this runner cannot
// run it.
func (r *Runner) adopt(s *stored, foreground bool) *exec {
	p := r.plans[version{s.typ, s.version}]
	if p == nil || s.step > len(p.steps) {
		return nil
	}
	x := r.newExec(p, s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		x.cancel()
		return nil
	}
	delete(r.started, s.id)
	if old := r.held[s.id]; old != nil {
		old.cancel()
	} else {
		r.metrics.running.Inc()
	}
	r.held[s.id] = x
	if foreground {
		r.foregroundRuns.Add(1)
	}
	if x.pastPivot() {
		x.resolve(&Outcome{ID: s.id, State: Confirmed, results: x.run.snapshot()})
	}
	return x
}

// foreground runs a saga while its caller waits.
func (r *Runner) foreground(x *exec, gone <-chan struct{}) {
	defer r.foregroundRuns.Done()
	v := handOver
	if err := failpoint.Hit(x.ctx, x.p.started); err == nil {
		if gone == nil {
			gone = make(chan struct{}) // the caller never leaves
		}
		v = x.drive(gone)
	}
	if v == handOver {
		x.handedOver = time.Since(r.begun)
		if r.enqueue(x) {
			return
		}
		v = x.release(0)
	}
	r.finish(x, v)
}

// enqueue gives the saga to the workers. It returns false, without waiting, if the queue is full or the runner
// drains.
func (r *Runner) enqueue(x *exec) bool {
	if r.draining() {
		return false
	}
	select {
	case r.queue <- x:
		return true
	default:
		return false
	}
}

// finish removes a saga from held.
func (r *Runner) finish(x *exec, v verdict) {
	r.mu.Lock()
	if r.held[x.run.id] == x {
		delete(r.held, x.run.id)
		r.metrics.running.Dec()
	}
	r.mu.Unlock()
	if v == abandoned && r.base.Err() == nil {
		r.log.Warn("saga abandoned: it has another owner, or will have", zap.String("type", x.p.Type),
			zap.String("saga", x.run.id))
	}
	x.cancel()
	x.resolve(nil)
}

// await waits for the outcome of a saga that is held here. If this runner gives it up, it waits for the next owner's.
func (r *Runner) await(ctx context.Context, x *exec) (Outcome, error) {
	select {
	case <-x.resolved:
	case <-ctx.Done():
		return Outcome{}, errs.From(ctx.Err())
	}
	if x.outcome != nil {
		return *x.outcome, nil
	}
	return r.Wait(ctx, x.run.id)
}

const (
	minPoll = 5 * time.Millisecond
	maxPoll = 100 * time.Millisecond
)

// Wait waits for the outcome of a saga, as Execute does, whichever runner runs it. Concurrent calls share their
// queries.
//
// Errors: not_found, timeout (ctx ended first), unavailable.
func (r *Runner) Wait(ctx context.Context, id string) (Outcome, error) {
	for interval := minPoll; ; interval = min(2*interval, maxPoll) {
		r.mu.Lock()
		x := r.held[id]
		r.mu.Unlock()
		if x != nil {
			select {
			case <-x.resolved:
			case <-ctx.Done():
				return Outcome{}, errs.From(ctx.Err())
			}
			if x.outcome != nil {
				return *x.outcome, nil
			}
		}
		s, err := r.store.lookup(ctx, id)
		if err != nil {
			return Outcome{}, err
		}
		if s == nil {
			return Outcome{}, errs.New(errs.NotFound, "there is no such saga")
		}
		if o, ok := r.outcome(s); ok {
			return o, nil
		}
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Outcome{}, errs.From(ctx.Err())
		}
	}
}

// outcome derives the outcome from a saga's row. It reports false while the saga is undecided.
func (r *Runner) outcome(s *stored) (Outcome, bool) {
	o := Outcome{ID: s.id, State: Confirmed, results: s.results}
	p := r.plans[version{s.typ, s.version}]
	past := p != nil && s.step > p.pivot
	switch {
	case s.state == Done, s.state == Running && past, s.state == Parked && s.parked == Running && past:
		return o, true
	case s.state == Compensated:
		o.State, o.Err = Compensated, s.cause
		return o, true
	case s.state == Parked:
		o.State, o.Err = Parked, s.cause
		return o, true
	default:
		return o, false
	}
}

func (r *Runner) draining() bool {
	select {
	case <-r.drain:
		return true
	default:
		return false
	}
}

// lapsed reports whether the lease may have expired without the runner having noticed.
func (r *Runner) lapsed(x *exec) bool {
	return time.Since(r.begun)-time.Duration(x.leased.Load()) > r.opts.Lease
}

var errTwice = errors.New("saga: the runner runs already, or has run")
