package saga

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
)

const (
	claimLimit     = 64
	statsInterval  = 5 * time.Second
	deleteInterval = time.Minute
	deleteLimit    = 2000
)

// Run claims sagas that no runner holds, renews leases, and runs sagas in the background until ctx ends. Then it
// waits up to Options.Drain for sagas that have a caller, releases the others for the next runner, and returns
// nil. It may be called once.
func (r *Runner) Run(ctx context.Context) error {
	if !r.ran.CompareAndSwap(false, true) {
		return errTwice
	}
	var workers, loops sync.WaitGroup
	loop := func(f func(context.Context)) {
		loops.Add(1)
		go func() {
			defer loops.Done()
			f(r.base)
		}()
	}
	loop(r.renewLoop)
	loop(r.countLoop)
	loop(r.deleteLoop)
	for range r.opts.Workers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			r.work()
		}()
	}
	r.claimLoop(ctx) // until ctx ends

	r.mu.Lock()
	r.closed = true
	clear(r.started)
	r.mu.Unlock()
	close(r.drain)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		r.foregroundRuns.Wait()
		workers.Wait()
		for len(r.queue) > 0 { // enqueued while the last worker ended
			r.background(<-r.queue)
		}
	}()
	timer := time.NewTimer(r.opts.Drain)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		r.log.Warn("sagas did not stop in time, and are abandoned")
	}
	r.stop()
	<-drained
	loops.Wait()
	r.store.close()
	return nil
}

// Ready reports whether the runner claims sagas and renews leases.
//
// Errors: unavailable (it does not).
func (r *Runner) Ready(context.Context) error {
	seen := r.lastSeen.Load()
	if seen == 0 || r.draining() {
		return errs.New(errs.Unavailable, "sagas are not being run").WithRetryAfter(time.Second)
	}
	if time.Since(r.begun)-time.Duration(seen) > max(3*r.opts.Lease, 3*time.Second) {
		return errs.New(errs.Unavailable, "sagas cannot reach their database").WithRetryAfter(time.Second)
	}
	return nil
}

func (r *Runner) seen() { r.lastSeen.Store(max(1, int64(time.Since(r.begun)))) }

// work runs queued sagas until the runner drains and the queue is empty.
func (r *Runner) work() {
	for {
		select {
		case x := <-r.queue:
			r.background(x)
			continue
		default:
		}
		select {
		case x := <-r.queue:
			r.background(x)
		case <-r.drain:
			// Foreground sagas may still be enqueued. Those that no longer can be are released.
			select {
			case x := <-r.queue:
				r.background(x)
			default:
				return
			}
		}
	}
}

// background runs a saga that has no caller.
func (r *Runner) background(x *exec) {
	r.waitForTick(x)
	r.finish(x, x.drive(nil))
}

// backgroundTick is the interval at which sagas that lost their callers go on. The calls and writes of the sagas that
// start in the same tick share batches.
const backgroundTick = 90 * time.Millisecond

// waitForTick waits until the first tick after the saga lost its caller.
func (r *Runner) waitForTick(x *exec) {
	now := time.Since(r.begun)
	left := x.handedOver - x.handedOver%backgroundTick + backgroundTick - now
	if x.handedOver == 0 || left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ctx.Done():
	case <-r.drain:
	}
}

// claimLoop claims sagas that no runner holds.
func (r *Runner) claimLoop(ctx context.Context) {
	inherited := r.name == ""
	_ = chore.Chore{ // it returns nil
		Name: "claim sagas", Every: r.opts.Poll, Batch: claimLimit, Logger: r.log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			n, err := r.claimSome(ctx, min(claimLimit, cap(r.queue)-len(r.queue)), inherited)
			inherited = inherited || err == nil && n < claimLimit
			return n, err
		},
	}.Run(ctx)
}

func (r *Runner) claimSome(ctx context.Context, room int, inherited bool) (int, error) {
	if room <= 0 || len(r.types) == 0 {
		r.seen()
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	sql, args := sqlClaim, []any{r.store.owner, r.opts.Lease.Seconds(), r.types, r.versions, room}
	if !inherited {
		sql, args = sqlInherit, append(args, r.name)
	}
	claimed, err := r.store.claim(ctx, sql, args...)
	if err != nil {
		return 0, err
	}
	r.seen()
	for _, s := range claimed {
		x := r.adopt(s, false)
		if x == nil {
			continue
		}
		r.log.Info("saga taken over", zap.String("type", s.typ), zap.String("saga", s.id),
			zap.Int64("epoch", s.epoch), zap.String("state", string(s.state)), zap.Int("step", s.step))
		if err := failpoint.Hit(x.ctx, x.p.claimed); err != nil || !r.enqueue(x) {
			r.finish(x, abandoned) // its lease expires
		}
	}
	return len(claimed), nil
}

// renewLoop renews the leases of sagas that are held for some time. Most sagas end before.
func (r *Runner) renewLoop(ctx context.Context) {
	every := r.opts.Lease * 35 / 100
	_ = chore.Loop(ctx, nil, func(ctx context.Context, _ bool) (time.Duration, error) { // no tick fails
		began := time.Now()
		if err := r.renew(ctx, every); err != nil && ctx.Err() == nil {
			r.log.Warn("saga leases cannot be renewed", zap.Error(err))
		}
		return max(0, every-time.Since(began)), nil // a slow renewal must not delay the next one
	})
}

func (r *Runner) renew(ctx context.Context, every time.Duration) error {
	now := int64(time.Since(r.begun))
	var (
		ids    []string
		epochs []int64
		held   []*exec
	)
	r.mu.Lock()
	for id, x := range r.started {
		if now-x.leased.Load() > int64(r.opts.Lease) { // the caller's batch failed, or the caller did not go on
			x.cancel()
			delete(r.started, id)
		}
	}
	for id, x := range r.held {
		if now-x.leased.Load() >= int64(every)/2 {
			ids, epochs, held = append(ids, id), append(epochs, x.run.epoch), append(held, x)
		}
	}
	r.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Lease)
	defer cancel()
	kept, err := r.store.renew(ctx, ids, epochs, r.opts.Lease)
	if err != nil {
		return err
	}
	r.seen()
	for _, x := range held {
		switch {
		case kept[x.run.id]:
			x.leased.Store(now) // the time before the query: the database's lease ends later
		case !x.ending.Load():
			x.cancel()
		}
	}
	return nil
}

// countLoop keeps the gauges up to date.
func (r *Runner) countLoop(ctx context.Context) {
	reported := map[version]bool{}
	_ = chore.Chore{ // it returns nil
		Name: "count sagas", Every: statsInterval, Logger: r.log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			unknown, err := r.count(ctx, reported)
			if err == nil {
				reported = unknown
			}
			return 0, err
		},
	}.Run(ctx)
}

// deleteLoop deletes sagas that ended longer ago than Options.Keep.
func (r *Runner) deleteLoop(ctx context.Context) {
	c := chore.Chore{
		Name: "delete ended sagas", Every: deleteInterval, Batch: deleteLimit, Logger: r.log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			tag, err := r.store.pool.Exec(ctx, sqlDeleteEnded, r.opts.Keep.Seconds(), deleteLimit)
			return int(tag.RowsAffected()), postgres.Err(err)
		},
	}
	if r.opts.Keep < 0 {
		c.Every = 0
	}
	_ = c.Run(ctx) // it returns nil
}

type count struct {
	typ     string
	version int
	parked  bool
	n       int
}

// count sets the gauges. It logs sagas of an unknown type or version unless that version is in reported, and
// returns the unknown versions.
func (r *Runner) count(ctx context.Context, reported map[version]bool) (map[version]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := r.store.pool.Query(ctx, sqlStats)
	var counts []count
	if err == nil {
		counts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c count, err error) {
			return c, row.Scan(&c.typ, &c.version, &c.parked, &c.n)
		})
	}
	if err != nil {
		return nil, postgres.Err(err)
	}
	parked, unknown := map[string]int{}, map[version]bool{}
	for typ := range r.newest {
		parked[typ] = 0
	}
	r.metrics.unknown.Reset()
	for _, c := range counts {
		v := version{c.typ, c.version}
		switch {
		case c.parked:
			parked[c.typ] += c.n
		case r.plans[v] == nil:
			unknown[v] = true
			r.metrics.unknown.WithLabelValues(c.typ, strconv.Itoa(c.version)).Set(float64(c.n))
			if !reported[v] {
				r.log.Error("sagas of an unknown type or version wait for a runner that knows it",
					zap.String("type", c.typ), zap.Int("version", c.version), zap.Int("sagas", c.n))
			}
		}
	}
	for typ, n := range parked {
		r.metrics.parked.WithLabelValues(typ).Set(float64(n))
	}
	return unknown, nil
}
