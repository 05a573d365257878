package saga

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
)

const (
	claimAtOnce = 64
	statsEvery  = 5 * time.Second
	forgetEvery = time.Minute
	forgetMany  = 2000
)

// Run takes over sagas that nobody holds, renews leases, and drives sagas in the background, until ctx ends. Then it waits a
// while for the sagas that callers wait for, releases the others for the next runner, and returns nil. It can run once.
func (r *Runner) Run(ctx context.Context) error {
	if !r.runs.CompareAndSwap(false, true) {
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
	loop(r.renewing)
	loop(r.keepingHouse)
	for range r.opts.Workers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			r.work()
		}()
	}
	r.claiming(ctx) // until ctx ends

	r.mu.Lock()
	r.closed = true
	clear(r.started)
	r.mu.Unlock()
	close(r.drain)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		r.fore.Wait()
		workers.Wait()
		for len(r.queue) > 0 { // put there while the last worker left
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

// Ready says whether the runner takes over sagas and renews leases. It fails with errs.Unavailable.
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

// work drives queued sagas until the runner drains and the queue is empty.
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
			// The foreground may still be about to enqueue: what it cannot, it releases itself.
			select {
			case x := <-r.queue:
				r.background(x)
			default:
				return
			}
		}
	}
}

// background drives a saga that nobody waits for.
func (r *Runner) background(x *exec) {
	r.rest(x)
	r.finish(x, x.drive(nil))
}

// together is how far apart sagas that come from their callers go on: what one of them still has to do it does
// at the same time as others, so that their calls and writes travel together.
const together = 90 * time.Millisecond

// rest waits for the others: until the first tick after the saga's caller got its answer.
func (r *Runner) rest(x *exec) {
	now := time.Since(r.begun)
	left := x.handed - x.handed%together + together - now
	if x.handed == 0 || left <= 0 {
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

// claiming takes over sagas that nobody holds.
func (r *Runner) claiming(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	inherited := r.name == ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		pause := r.opts.Poll
		room := min(claimAtOnce, cap(r.queue)-len(r.queue))
		switch n, err := r.claimSome(ctx, room, inherited); {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.log.Warn("sagas cannot be claimed", zap.Error(err))
		case n == claimAtOnce:
			pause = 0
		default:
			inherited = true
		}
		timer.Reset(pause)
	}
}

func (r *Runner) claimSome(ctx context.Context, room int, inherited bool) (int, error) {
	if room <= 0 || len(r.types) == 0 {
		r.seen()
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
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
		r.log.Info("saga taken over", zap.String("type", s.typ), zap.String("saga", s.id), zap.Int64("epoch", s.epoch), zap.String("state", string(s.state)), zap.Int("step", s.step))
		if err := failpoint.Hit(x.ctx, x.p.claimed); err != nil || !r.enqueue(x) {
			r.finish(x, abandoned) // its lease ends by itself
		}
	}
	return len(claimed), nil
}

// renewing renews the leases of all sagas that are held for some time; most end before it is their turn.
func (r *Runner) renewing(ctx context.Context) {
	every := r.opts.Lease * 35 / 100
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.renew(ctx, every); err != nil && ctx.Err() == nil {
			r.log.Warn("saga leases cannot be renewed", zap.Error(err))
		}
	}
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
		if now-x.leased.Load() > int64(r.opts.Lease) { // the caller's batch failed, or the caller forgot it
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
			x.leased.Store(now) // when it was asked for: the database's lease ends later
		case !x.ending.Load():
			x.cancel()
		}
	}
	return nil
}

// keepingHouse counts what operators should know of, and forgets what ended long ago.
func (r *Runner) keepingHouse(ctx context.Context) {
	stats, forget := time.NewTicker(statsEvery), time.NewTicker(forgetEvery)
	defer stats.Stop()
	defer forget.Stop()
	known := map[version]bool{}
	for {
		known = r.count(ctx, known)
		select {
		case <-ctx.Done():
			return
		case <-stats.C:
		case <-forget.C:
			if err := r.forget(ctx); err != nil && ctx.Err() == nil {
				r.log.Warn("ended sagas cannot be deleted", zap.Error(err))
			}
		}
	}
}

type count struct {
	typ     string
	version int
	parked  bool
	n       int
}

// count sets the gauges, and logs sagas of a type or version that was not missed before.
func (r *Runner) count(ctx context.Context, reported map[version]bool) map[version]bool {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	rows, err := r.store.pool.Query(ctx, sqlStats)
	var counts []count
	if err == nil {
		counts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c count, err error) {
			return c, row.Scan(&c.typ, &c.version, &c.parked, &c.n)
		})
	}
	if err != nil {
		if r.base.Err() == nil {
			r.log.Warn("sagas cannot be counted", zap.Error(postgres.Err(err)))
		}
		return reported
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
	return unknown
}

func (r *Runner) forget(ctx context.Context) error {
	if r.opts.Keep < 0 {
		return nil
	}
	for {
		tag, err := r.store.pool.Exec(ctx, sqlForget, r.opts.Keep.Seconds(), forgetMany)
		if err != nil {
			return fmt.Errorf("delete sagas: %w", postgres.Err(err))
		}
		if tag.RowsAffected() < forgetMany {
			return nil
		}
	}
}
