package outbox

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
)

const (
	fetchWait = 30 * time.Second
	// drainTime is how long a batch that has begun may go on after Run's context ended.
	drainTime = 10 * time.Second
	// neverHandled is after how many deliveries each attempt is counted before it is made: either the event only waited
	// so far, for the one before it, or the process dies of it each time.
	neverHandled = 100
)

// Handler does what an event asks for, in the transaction that also notes the event as done. It has no
// effect outside of that transaction, for it may be run again. An error undoes it.
type Handler func(ctx context.Context, tx pgx.Tx, e event.Event) error

// Queuer is a [Handler] whose effect is statements that need no answer: it queues them, and those of all events of a
// transaction go out in one round trip. Events that a transaction takes together come in order; [postgres.QueueRows]
// makes one statement of what they have in common, which then must not care about their order.
type Queuer func(ctx context.Context, b *pgx.Batch, e event.Event) error

// ConsumerOptions describe a consumer. Service, Purpose, Subjects and either Handler or Queue are required.
type ConsumerOptions struct {
	// Service and Purpose name the consumer: it is durable as "{service}_{purpose}". Each event reaches
	// every such name once, however many processes run it.
	Service, Purpose string
	// Subjects that it takes, e.g. "evt.order.confirmed" or "evt.product.>".
	Subjects []string
	// Handler does the effect, or Queue does.
	Handler Handler
	Queue   Queuer
	// MaxDeliver is how often an event is tried alone before it becomes a dead letter; 0: 8.
	MaxDeliver int
	// Backoff is how long to wait after the first, the second … failure; the last one counts for all
	// further ones. Nil: 100 ms, 500 ms, 2 s, 10 s, 30 s, 1 min, 2 min.
	Backoff []time.Duration
	// Done is called after the commit of a transaction in which the handler did something; nil: nobody is told.
	Done func()
	// Batch is how many events one transaction takes at most; 0: 100.
	Batch int
	// Linger is how long a transaction waits for more events after its first; 0: 3 ms; negative: not at all.
	Linger time.Duration
	// AckWait is after how long an event that its process, or a server that stopped, lost comes again; 0: 5 s. Work that
	// takes longer says so meanwhile.
	AckWait time.Duration
	// Streams bounds the streams, should the consumer have to create them.
	Streams Streams
	// Clock; nil: the system's.
	Clock clock.Clock
	// Logger; nil: none.
	Logger *zap.Logger
	// Tracer makes a span for each event whose trace is sampled; nil: none.
	Tracer trace.Tracer
	// Metrics; nil: none.
	Metrics prometheus.Registerer
}

// Consumer takes events off the stream and hands them to its handler, in order for each aggregate.
type Consumer struct {
	js      jetstream.JetStream
	pool    *pgxpool.Pool
	o       ConsumerOptions
	name    string
	log     *zap.Logger
	metrics consumerMetrics
	ready   atomic.Bool

	// Of the goroutine of Run:
	holds  map[string]map[uint64]hold // by aggregate and stream sequence: events that were sent back
	pruned time.Time
}

// NewConsumer returns a consumer that is to be run with [Consumer.Run].
func NewConsumer(js jetstream.JetStream, pool *pgxpool.Pool, o ConsumerOptions) *Consumer {
	o.MaxDeliver = cmp.Or(o.MaxDeliver, 8)
	o.Batch = cmp.Or(o.Batch, 100)
	o.Linger = cmp.Or(o.Linger, 3*time.Millisecond)
	o.AckWait = cmp.Or(o.AckWait, 5*time.Second)
	if len(o.Backoff) == 0 {
		o.Backoff = []time.Duration{
			100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 10 * time.Second,
			30 * time.Second, time.Minute, 2 * time.Minute,
		}
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	name := o.Service + "_" + o.Purpose
	return &Consumer{
		js: js, pool: pool, o: o, name: name,
		log:     o.Logger.With(zap.String("consumer", name)),
		metrics: newConsumerMetrics(o.Metrics),
		holds:   make(map[string]map[uint64]hold),
	}
}

// Name returns the consumer's durable name.
func (c *Consumer) Name() string { return c.name }

// Ready returns nil when the consumer listens, or did before JetStream went away.
func (c *Consumer) Ready(context.Context) error {
	if !c.ready.Load() {
		return errs.New(errs.Unavailable, "the consumer %s is not listening yet", c.name)
	}
	return nil
}

// Run takes in events until ctx ends, and finishes what it has begun. PostgreSQL or JetStream going away
// stops it only for as long as that lasts. It fails when its options are wrong, or when its connection
// to NATS was closed for good. Run it once.
func (c *Consumer) Run(ctx context.Context) error {
	if c.o.Service == "" || c.o.Purpose == "" || len(c.o.Subjects) == 0 || (c.o.Handler == nil) == (c.o.Queue == nil) {
		return errs.New(errs.Internal, "consumer %q lacks a service, a purpose, subjects or a handler, or has two", c.name)
	}
	defer c.ready.Store(false)

	// Work outlives ctx a little, so that a batch that has begun is committed and acknowledged.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if pause(work, drainTime) {
			cancel()
		}
	})()

	nc := c.js.Conn()
	l := newLink(nc)
	defer l.close()

	var (
		cons jetstream.Consumer
		wait backoff
		err  error
	)
	for ctx.Err() == nil {
		if cons == nil {
			cons, err = c.listen(ctx, l)
		}
		if err == nil {
			c.prune(ctx)
			err = c.fetch(ctx, work, l, cons)
		}
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			wait.reset()
			continue
		}
		if nc.IsClosed() {
			return errs.Wrap(nats.ErrConnectionClosed, errs.Unavailable, "the connection to NATS is closed")
		}
		if wait.failures == 0 {
			c.log.Warn("events do not arrive; the consumer sets itself up again", zap.Error(err))
		}
		cons, err = nil, nil
		wait.sleep(ctx, l.back)
	}
	return nil
}

// listen creates the durable consumer, or brings its settings up to date.
func (c *Consumer) listen(ctx context.Context, l *link) (jetstream.Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		Durable:        c.name,
		Description:    "events for " + c.o.Service + ": " + c.o.Purpose,
		FilterSubjects: c.o.Subjects,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        c.o.AckWait,
		// The bound is ours: the server's would drop an event without a dead letter.
		MaxDeliver:    -1,
		MaxAckPending: max(1000, 4*c.o.Batch),
	}
	ctx, cancel, err := l.context(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	cons, err := c.js.CreateOrUpdateConsumer(ctx, StreamEvents, cfg)
	if streamGone(err) {
		if err := requireStreams(ctx, c.js, c.o.Streams); err != nil {
			return nil, err
		}
		cons, err = c.js.CreateOrUpdateConsumer(ctx, StreamEvents, cfg)
	}
	if err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "the consumer %s cannot be set up", c.name)
	}
	c.ready.Store(true)
	return cons, nil
}

// fetch asks for a batch and handles what comes of it as it comes.
func (c *Consumer) fetch(ctx, work context.Context, l *link, cons jetstream.Consumer) error {
	alive, cancel, err := l.context(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	fctx, cancelWait := context.WithTimeout(alive, fetchWait)
	defer cancelWait()
	batch, err := cons.Fetch(c.o.Batch, jetstream.FetchContext(fctx), jetstream.FetchHeartbeat(fetchWait/10))
	if err != nil {
		return err
	}
	msgs := batch.Messages()
	for first := range msgs {
		got := available(ctx, msgs, first, c.o.Linger)
		if ctx.Err() != nil {
			for _, m := range got {
				_ = m.Nak() // somebody else may have it at once; else it comes after AckWait
			}
			continue
		}
		c.process(work, ctx, got)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// available returns first and all else that comes within d: a batch that is complete closes msgs.
func available(ctx context.Context, msgs <-chan jetstream.Msg, first jetstream.Msg, d time.Duration) []jetstream.Msg {
	got := []jetstream.Msg{first}
	if d > 0 {
		enough := time.NewTimer(d)
		defer enough.Stop()
	waiting:
		for {
			select {
			case m, ok := <-msgs:
				if !ok {
					return got
				}
				got = append(got, m)
			case <-enough.C:
				break waiting
			case <-ctx.Done():
				break waiting
			}
		}
	}
	for {
		select {
		case m, ok := <-msgs:
			if !ok {
				return got
			}
			got = append(got, m)
		default:
			return got
		}
	}
}

// prune forgets, once an hour, what is older than any replay reaches.
func (c *Consumer) prune(ctx context.Context) {
	now := c.o.Clock.Now()
	if now.Sub(c.pruned) < pruneInterval {
		return
	}
	c.pruned = now
	for aggregate, of := range c.holds { // of events that others took in
		maps.DeleteFunc(of, func(_ uint64, h hold) bool { return time.Now().After(h.until) })
		if len(of) == 0 {
			delete(c.holds, aggregate)
		}
	}
	before := now.Add(-RetainInbox)
	_, err := PruneInbox(ctx, c.pool, before)
	if err = errors.Join(err, pruneAttempts(ctx, c.pool, before)); err != nil && ctx.Err() == nil {
		c.log.Warn("the inbox could not be pruned", zap.Error(err))
	}
}
