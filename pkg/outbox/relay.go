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

	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
)

const (
	backoffBase = 50 * time.Millisecond
	backoffMax  = 2 * time.Second

	// batchWindow is how long an idle relay waits after a wake for more rows.
	batchWindow = 3 * time.Millisecond
	// tickInterval is the time between the common ticks of a process's busy relays; a relay whose last tick is longer
	// ago need not wait for one. It doubles at a high rate (Publisher.adapt). Under load it makes larger batches, and
	// keeps the relays' statements from competing with those of the requests. Each tick costs two round trips to
	// PostgreSQL, two transactions, and a wake of every consumer of its events.
	tickInterval = 45 * time.Millisecond

	publishTimeout = 5 * time.Second
	gaugeInterval  = 5 * time.Second
	pruneInterval  = time.Hour
)

// Options tune a relay. Only Service is required.
type Options struct {
	// Service is the publishing service: the events' CloudEvents source.
	Service string
	// Poll is the interval at which the relay polls for rows without a wake; 0: 500 ms.
	Poll time.Duration
	// Batch is how many rows are published and marked at once, at most 1000; 0: 200.
	Batch int
	// Retain is how long sent rows are kept, at least 7 days; 0: 7 days.
	Retain time.Duration
	// Publisher is shared by the relays of a process; nil: the relay creates its own.
	Publisher *Publisher
	// Clock gives the time; nil: the system's clock.
	Clock clock.Clock
	// Logger takes the relay's log; nil: no log.
	Logger *zap.Logger
	// Metrics registers the relay's metrics; nil: no metrics.
	Metrics prometheus.Registerer
}

// Relay publishes the events of one database's outbox. Any number of relays may share an outbox; the package
// comment says how.
type Relay struct {
	pool    *pgxpool.Pool
	js      jetstream.JetStream
	opts    Options
	log     *zap.Logger
	metrics relayMetrics
	wake    chore.Wake
	running atomic.Bool
}

// NewRelay returns a relay; run it with [Relay.Run].
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
		wake:    chore.NewWake(),
	}
}

// Wake makes the relay tick without waiting for its next poll. Call it after the commit of what [Append] or [Queue]
// wrote. It never blocks; all calls while the relay is busy cause one tick.
func (r *Relay) Wake() { r.wake.Now() }

// Ready returns nil while the relay runs, even if JetStream is out of reach: the service can take traffic, because
// events wait in the outbox.
//
// Errors: unavailable (Run has not begun, or has ended).
func (r *Relay) Ready(context.Context) error {
	if !r.running.Load() {
		return errs.New(errs.Unavailable, "the outbox relay is not running")
	}
	return nil
}

// Run publishes events until ctx ends. After an outage of PostgreSQL or JetStream it continues as soon as both
// answer.
//
// Errors: unavailable (the connection to NATS was closed for good).
func (r *Relay) Run(ctx context.Context) error {
	r.running.Store(true)
	defer r.running.Store(false)

	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	for _, c := range []chore.Chore{
		{Name: "count pending events", Every: gaugeInterval, Pass: r.updateGauges, Clock: r.opts.Clock, Logger: r.log},
		{Name: "prune the outbox", Every: pruneInterval, Pass: r.prune, Clock: r.opts.Clock, Logger: r.log},
	} {
		helpers.Go(func() { _ = c.Run(ctx) }) // it returns nil
	}
	l := newLink(r.js.Conn())
	defer l.close()

	var wait backoff
	var last time.Time
	return chore.Loop(ctx, r.wake, func(ctx context.Context, woken bool) (time.Duration, error) {
		delay := r.opts.Publisher.untilNextTick(last)
		if delay == 0 && woken {
			delay = batchWindow
		}
		if delay > 0 && !sleep(ctx, delay) {
			return 0, nil
		}
		select {
		case <-r.wake: // this tick serves those wakes, too
			woken = true
		default:
		}
		last = time.Now()
		busy, err := r.drain(ctx, l, woken)
		switch {
		case ctx.Err() != nil:
			return 0, err
		case err == nil:
			if wait.failures > 0 {
				r.log.Info("the outbox is being relayed again")
			}
			wait.reset()
			if busy { // the holder of the lock may have read before our rows were committed
				return tickInterval, nil
			}
			return r.opts.Poll, nil
		case r.js.Conn().IsClosed():
			return 0, errs.Wrap(nats.ErrConnectionClosed, errs.Unavailable, "the connection to NATS is closed")
		}
		if wait.failures == 0 {
			r.log.Warn("the outbox cannot be relayed; it will be tried again", zap.Error(err))
		}
		wait.sleep(ctx, l.back)
		return 0, nil
	})
}

// publish ends the tick t by publishing rows. It is cut short by the loss of the connection, but not by the end
// of ctx: a relay that stops must leave neither half a batch on the server nor published rows without a mark.
func (r *Relay) publish(ctx context.Context, t *tick, l *link, rows []row) ([]row, error) {
	ctx, cancel, err := l.context(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	defer cancel()
	return t.publish(ctx, r.opts.Service, rows)
}

const sqlProbe = `select exists (select from outbox where sent_at is null)`

// drain publishes until no rows are pending. It returns busy at once while another relay publishes. Without a wake it
// first probes for pending rows, without the lock.
func (r *Relay) drain(ctx context.Context, l *link, woken bool) (busy bool, err error) {
	if !woken {
		var pending bool
		if err := r.pool.QueryRow(ctx, sqlProbe).Scan(&pending); err != nil || !pending {
			return false, postgres.Err(err)
		}
	}
	for {
		held, n, err := r.tick(ctx, l)
		if err != nil || !held || n < r.opts.Batch || ctx.Err() != nil {
			return !held && err == nil, err
		}
	}
}

// tick publishes the first pending rows, at most a batch, and returns their number. It returns false, and does nothing,
// while another relay publishes.
func (r *Relay) tick(ctx context.Context, l *link) (held bool, n int, err error) {
	t := r.opts.Publisher.begin()
	defer t.leave()
	held, err = publishing(ctx, r.pool, func(tx *postgres.Batches, rows []row) error {
		if n = len(rows); n == 0 {
			t.leave() // before the transaction ends, so that no flush waits for that
			return nil
		}
		sent, perr := r.publish(ctx, t, l, rows)
		if err := failpoint.Hit(ctx, "outbox.after_publish"); err != nil {
			return err
		}
		for _, s := range sent {
			r.metrics.published.WithLabelValues(s.Subject).Inc()
		}
		return errors.Join(perr, finish(ctx, tx, sent, r.opts.Clock.Now())) // even if ctx has ended
	}, sqlPending, r.opts.Batch)
	return held, n, err
}

const sqlGauge = `
select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8
from (select created_at from outbox where sent_at is null order by seq limit 100000) pending`

// updateGauges counts the pending events.
func (r *Relay) updateGauges(ctx context.Context, _ time.Time) (int, error) {
	var n int64
	var oldest float64
	if err := r.pool.QueryRow(ctx, sqlGauge).Scan(&n, &oldest); err != nil {
		return 0, postgres.Err(err)
	}
	r.metrics.pending.Set(float64(n))
	r.metrics.oldest.Set(max(oldest, 0))
	return 0, nil
}

// prune deletes rows that were sent longer ago than Retain.
func (r *Relay) prune(ctx context.Context, now time.Time) (int, error) {
	n, err := Prune(ctx, r.pool, now.Add(-r.opts.Retain))
	if n > 0 {
		r.log.Info("the outbox was pruned", zap.Int64("rows", n))
	}
	return 0, err
}
