package outbox

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
)

const (
	backoffBase = 50 * time.Millisecond
	backoffMax  = 2 * time.Second

	// linger is how long the relay waits after a wake, and gather the time from one moment at which the relays of a
	// process begin a round to the next, unless one has not had a round for so long: under load events go out together,
	// and the relays' statements do not compete with those that they work for. It is twice that while there is a lot
	// (Publisher.adapt). Each round costs two round trips to
	// PostgreSQL, two transactions, and a wake of every consumer that it concerns.
	linger = 3 * time.Millisecond
	gather = 45 * time.Millisecond

	publishTimeout = 5 * time.Second
	gaugeInterval  = 5 * time.Second
	pruneInterval  = time.Hour
)

// Options tune a relay. Only Service is required.
type Options struct {
	// Service names who tells the events: their CloudEvents source.
	Service string
	// Poll is how often the relay looks for rows when nobody wakes it; 0: 500 ms.
	Poll time.Duration
	// Batch is how many rows are published and marked at once; 0: 200, at most 1000.
	Batch int
	// Retain is how long sent rows are kept; 0, and anything shorter than that: 7 days.
	Retain time.Duration
	// Streams bounds the streams, which the relay creates.
	Streams Streams
	// Publisher is the process's own; nil: the relay has one for itself.
	Publisher *Publisher
	// Clock; nil: the system's.
	Clock clock.Clock
	// Logger; nil: none.
	Logger *zap.Logger
	// Metrics; nil: none.
	Metrics prometheus.Registerer
}

// Relay publishes what stands in one database's outbox. Any number of relays may work on one outbox;
// see the package comment for how they share it.
type Relay struct {
	pool    *pgxpool.Pool
	js      jetstream.JetStream
	opts    Options
	log     *zap.Logger
	metrics relayMetrics
	wake    chan struct{}
	running atomic.Bool
}

// NewRelay returns a relay that is to be run with [Relay.Run].
func NewRelay(pool *pgxpool.Pool, js jetstream.JetStream, o Options) *Relay {
	o.Poll = cmp.Or(o.Poll, 500*time.Millisecond)
	o.Batch = min(cmp.Or(o.Batch, 200), 1000)
	o.Retain = max(o.Retain, Retain)
	if o.Publisher == nil {
		o.Publisher = NewPublisher(js)
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &Relay{
		pool: pool, js: js, opts: o, log: o.Logger,
		metrics: newRelayMetrics(o.Metrics),
		wake:    make(chan struct{}, 1),
	}
}

// Wake makes the relay look at once. Call it after the commit of what [Append] or [Queue] wrote. It
// never blocks; calls while the relay is busy are one.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Ready returns nil while the relay runs. That JetStream is out of reach keeps nobody from taking
// traffic: events wait in the outbox.
func (r *Relay) Ready(context.Context) error {
	if !r.running.Load() {
		return errs.New(errs.Unavailable, "the outbox relay is not running")
	}
	return nil
}

// Run publishes until ctx ends. Whatever PostgreSQL or JetStream do meanwhile, it goes on as soon as
// both answer again; it fails only when its connection to NATS was closed for good.
func (r *Relay) Run(ctx context.Context) error {
	r.running.Store(true)
	defer r.running.Store(false)

	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	helpers.Go(func() { r.housekeeping(ctx) })
	l := newLink(r.js.Conn())
	defer l.close()

	r.ensureStreams(ctx, l)
	poll := time.NewTimer(0)
	defer poll.Stop()
	var wait backoff
	var last time.Time
	for {
		woken := false
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			woken = true
		case <-poll.C:
		}
		early := r.opts.Publisher.untilNext(last)
		if early == 0 && woken {
			early = linger
		}
		if early > 0 && !pause(ctx, early) {
			return nil
		}
		select {
		case <-r.wake: // this round is theirs, too
			woken = true
		default:
		}
		last = time.Now()
		busy, err := r.drain(ctx, l, woken)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if wait.failures > 0 {
				r.log.Info("the outbox is being relayed again")
			}
			wait.reset()
			if busy { // whoever has the turn may have read before our rows were there
				poll.Reset(gather)
			} else {
				poll.Reset(r.opts.Poll)
			}
			continue
		case r.js.Conn().IsClosed():
			return errs.Wrap(nats.ErrConnectionClosed, errs.Unavailable, "the connection to NATS is closed")
		}
		if wait.failures == 0 {
			r.log.Warn("the outbox cannot be relayed; it will be tried again", zap.Error(err))
		}
		if errors.Is(err, errStreamGone) {
			r.ensureStreams(ctx, l)
		}
		if !wait.sleep(ctx, l.back) {
			return nil
		}
		poll.Reset(0)
	}
}

// publish publishes as the last part of a round. It ends with the connection, but not with ctx: a relay that stops
// leaves neither the server half a batch nor rows that are out without a mark.
func (r *Relay) publish(ctx context.Context, part *round, l *link, rows []row) ([]row, error) {
	ctx, cancel, err := l.context(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	defer cancel()
	return part.publish(ctx, r.opts.Service, rows)
}

// ensureStreams creates the streams. What does not work now is noticed by the next publish.
func (r *Relay) ensureStreams(ctx context.Context, l *link) {
	work, cancel, err := l.context(ctx)
	if err == nil {
		defer cancel()
		err = EnsureStreams(work, r.js, r.opts.Streams)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Warn("the event streams cannot be set up yet", zap.Error(err))
	}
}

const sqlProbe = `select exists (select from outbox where sent_at is null)`

// drain publishes until nothing is pending. While another relay is at it, it returns at once, busy. When
// nobody said that there is something, it asks first.
func (r *Relay) drain(ctx context.Context, l *link, woken bool) (busy bool, err error) {
	if !woken {
		var pending bool
		if err := r.pool.QueryRow(ctx, sqlProbe).Scan(&pending); err != nil || !pending {
			return false, postgres.Err(err)
		}
	}
	part := r.opts.Publisher.begin()
	defer func() { part.leave() }()
	t, rows, err := takeTurn(ctx, r.pool, sqlPending, r.opts.Batch)
	if err != nil || t == nil {
		return err == nil, err
	}
	defer t.done(ctx)
	if len(rows) == 0 {
		part.leave() // nobody waits for the turn to be given back
	}
	for len(rows) > 0 {
		sent, perr := r.publish(ctx, part, l, rows)
		if err := failpoint.Hit(ctx, "outbox.after_publish"); err != nil {
			return false, err
		}
		for _, s := range sent {
			r.metrics.published.WithLabelValues(s.Subject).Inc()
		}
		at := r.opts.Clock.Now()
		if perr != nil || ctx.Err() != nil || len(rows) < r.opts.Batch {
			return false, errors.Join(perr, t.finish(ctx, sent, at)) // even if ctx has ended: what is out is out
		}
		part = r.opts.Publisher.begin()
		if rows, err = t.next(ctx, sent, at, sqlPending, r.opts.Batch); err != nil {
			return false, err
		}
		if len(rows) == 0 {
			part.leave()
		}
	}
	return false, nil
}

const sqlGauge = `
select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8
from (select created_at from outbox where sent_at is null order by seq limit 100000) pending`

// housekeeping keeps the gauges current and prunes once an hour of the injected clock.
func (r *Relay) housekeeping(ctx context.Context) {
	tick := time.NewTicker(gaugeInterval)
	defer tick.Stop()
	var pruned time.Time
	for {
		var n int64
		var oldest float64
		if err := r.pool.QueryRow(ctx, sqlGauge).Scan(&n, &oldest); err == nil {
			r.metrics.pending.Set(float64(n))
			r.metrics.oldest.Set(max(oldest, 0))
		}
		if now := r.opts.Clock.Now(); now.Sub(pruned) >= pruneInterval {
			pruned = now
			n, err := Prune(ctx, r.pool, now.Add(-r.opts.Retain))
			switch {
			case err != nil && ctx.Err() == nil:
				r.log.Warn("the outbox could not be pruned", zap.Error(err))
			case n > 0:
				r.log.Info("the outbox was pruned", zap.Int64("rows", n))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
