package postgres

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"souk/pkg/cohort"
	"souk/pkg/errs"
)

// Result is what became of one item of a run.
type Result[R any] struct {
	// Value is the answer; it counts when Err is nil.
	Value R
	// Err is this item's own failure.
	Err error
}

// Group is group commit: callers that arrive while a run is under way wait and go into the next one
// together. A caller alone is run at once (but see [WithLinger]), so nothing is slower when there is little to do; under load a
// hot row is updated once for many callers, and a commit's fsync is shared.
//
// Callers of a cohort (package cohort) wait for each other for some milliseconds, and go into one run.
//
// A run should be one transaction. When it fails as a whole, each of its callers gets that error; what
// concerns one item (out of stock) is that item's own Result. A Group may be used by several goroutines.
type Group[T, R any] struct {
	run func(ctx context.Context, items []T) ([]Result[R], error)
	cfg groupConfig
	max int

	mu      sync.Mutex
	waiting []*call[T, R]
	enough  int           // callers for which a lingering run waits; 0: none lingers
	there   chan struct{} // something when they are there
	cohorts cohorts
	asleep  bool          // a worker waits for the rest of a cohort
	woken   chan struct{} // something when that worker has work
	running int
	closed  bool
	ended   time.Time // when the last run did
	runs    sync.WaitGroup
}

type call[T, R any] struct {
	item T
	from cohort.Hint
	// gone is set, under the group's mutex, when the caller left before a run took the call.
	gone bool
	done chan Result[R] // buffered: a run never waits for its callers
}

type groupConfig struct {
	parallel int
	timeout  time.Duration
	linger   time.Duration
	company  func() int
}

// GroupOption changes how a Group works.
type GroupOption func(*groupConfig)

// WithParallel lets n runs go on at the same time; the default is 1, which is best for one hot row.
func WithParallel(n int) GroupOption {
	return func(c *groupConfig) { c.parallel = max(n, 1) }
}

// WithLinger has a run that comes soon after another wait so long for more callers; the default is 0. Work costs less
// when more of it goes together. Who comes later than a few times that after the last run does not wait.
func WithLinger(d time.Duration) GroupOption {
	return func(c *groupConfig) { c.linger = d }
}

// WithCompany has a linger end as soon as three quarters of those wait who are under way, wherever that is: n returns how
// many they are. So the rest has the processors meanwhile, and goes next. A caller alone never lingers.
func WithCompany(n func() int) GroupOption {
	return func(c *groupConfig) { c.company = n }
}

// WithRunTimeout bounds one run; the default is 10 s.
func WithRunTimeout(d time.Duration) GroupOption {
	return func(c *groupConfig) { c.timeout = d }
}

// NewGroup returns a group whose runs take all that waits, at most limit items. The answer of run has one
// Result for each item, in the items' order. The context of a run belongs to no caller: it carries
// neither their values nor their deadlines, only the group's own timeout.
func NewGroup[T, R any](limit int, run func(ctx context.Context, items []T) ([]Result[R], error), opts ...GroupOption) *Group[T, R] {
	g := &Group[T, R]{run: run, max: max(limit, 1), there: make(chan struct{}, 1), woken: make(chan struct{}, 1), cfg: groupConfig{parallel: 1, timeout: 10 * time.Second}}
	g.cohorts = cohorts{limit: g.max, by: map[uint64]*arrivals{}}
	for _, o := range opts {
		o(&g.cfg)
	}
	return g
}

// Do adds item to the next run and waits for its result. When ctx ends first, Do returns at once: an item
// that no run has taken yet is withdrawn, one that is in a run goes on without its caller, and the others
// never notice.
//
// Its errors: the item's own, the run's, timeout when ctx ended, unavailable when the group is closed,
// internal when the run panicked.
func (g *Group[T, R]) Do(ctx context.Context, item T) (R, error) {
	var zero R
	if err := ctx.Err(); err != nil {
		return zero, Err(err)
	}
	c := &call[T, R]{item: item, from: cohort.From(ctx), done: make(chan Result[R], 1)}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return zero, errs.New(errs.Unavailable, "shutting down").WithRetryAfter(retryAfter)
	}
	g.waiting = append(g.waiting, c)
	complete := g.cohorts.add(c.from, time.Now())
	if g.enough > 0 && len(g.waiting) >= g.enough {
		g.enough = 0
		g.there <- struct{}{} // has room: see pause
	}
	switch {
	case g.asleep && complete:
		wake(g.woken)
	case !g.asleep && g.running < g.cfg.parallel:
		g.startLocked()
	}
	g.mu.Unlock()

	select {
	case r := <-c.done:
		return r.Value, r.Err
	case <-ctx.Done():
		g.mu.Lock()
		c.gone = true
		g.mu.Unlock()
		return zero, Err(ctx.Err())
	}
}

// Close refuses new callers and waits until those that are there have their results.
func (g *Group[T, R]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.runs.Wait()
}

func (g *Group[T, R]) startLocked() {
	g.running++
	g.runs.Add(1)
	go g.work()
}

// work runs batch after batch until nothing waits.
func (g *Group[T, R]) work() {
	defer g.runs.Done()
	finished := false
	defer func() {
		if finished {
			return
		}
		// run ended this goroutine (runtime.Goexit, as a failed test does): another goes on.
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
		if len(g.waiting) > 0 {
			g.startLocked()
		}
	}()
	for slept := false; ; {
		if g.cfg.linger > 0 && !slept {
			g.pause()
		}
		slept = false
		g.gather()
		batch, rest := g.take()
		switch {
		case rest > 0:
			g.sleep(rest)
			slept = true
			continue
		case len(batch) == 0:
			finished = true
			return
		}
		g.once(batch)
	}
}

// take returns the next batch, without callers that have left and without those who wait for the rest of their cohort. When
// there is none but of the latter, rest is how long to wait for more. Otherwise, without a batch, the worker counts as gone in
// the same critical section, so that the next caller starts another.
func (g *Group[T, R]) take() (batch []*call[T, R], rest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	stay := g.waiting[:0]
	for _, c := range g.waiting {
		left := g.cohorts.missing(c.from, now)
		switch {
		case c.gone:
			g.cohorts.remove(c.from)
		case len(batch) == g.max:
			stay = append(stay, c)
		case left > 0:
			stay = append(stay, c)
			if rest == 0 || left < rest {
				rest = left
			}
		default:
			batch = append(batch, c)
		}
	}
	for _, c := range batch {
		g.cohorts.remove(c.from)
	}
	clear(g.waiting[len(stay):])
	g.waiting = stay
	switch {
	case len(batch) > 0:
		if len(stay) > 0 && !g.asleep && g.running < g.cfg.parallel {
			g.startLocked() // the others need not wait for this run, which may take long
		}
		return batch, 0
	case rest > 0 && !g.asleep: // of several workers one waits
		g.asleep = true
		return nil, rest
	default:
		g.running--
		return nil, 0
	}
}

// once runs one batch and answers its callers, whatever run does.
func (g *Group[T, R]) once(batch []*call[T, R]) {
	var results []Result[R]
	err := error(errs.New(errs.Internal, "something went wrong on our side"))
	defer func() {
		if p := recover(); p != nil {
			err = errs.Wrap(fmt.Errorf("panic in a group's run: %v\n%s", p, debug.Stack()), errs.Internal, "something went wrong on our side")
			results = nil
		}
		if err == nil && len(results) != len(batch) {
			err = errs.Wrap(fmt.Errorf("a group's run gave %d results for %d items", len(results), len(batch)), errs.Internal, "something went wrong on our side")
		}
		g.mu.Lock()
		g.ended = time.Now()
		g.mu.Unlock()
		for i, c := range batch {
			if err != nil {
				c.done <- Result[R]{Err: err}
			} else {
				c.done <- results[i]
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.timeout)
	defer cancel()
	items := make([]T, len(batch))
	for i, c := range batch {
		items[i] = c.item
	}
	results, err = g.run(ctx, items)
}
