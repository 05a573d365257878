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
	fetchTimeout = 30 * time.Second
	// drainTimeout is how long a batch in flight may continue after Run's context has ended.
	drainTimeout = 10 * time.Second
	// precountAfter is the number of deliveries after which each attempt is counted before it is made. Such an
	// event has either only waited for the one before it, or it kills its process each time.
	precountAfter = 100
)

// Handler applies an event's effect in the transaction that also inserts the event's inbox row. It must have no
// effect outside of that transaction, because it may be called again. An error rolls the transaction back.
type Handler func(ctx context.Context, tx pgx.Tx, e event.Event) error

// Queuer is a [Handler] whose effect consists of statements whose results it does not need. It queues them, and
// those of all events of a transaction are sent in one round trip. It is called for the events in order.
// [postgres.QueueRow] merges the rows of several events into one statement, which then must not depend on their
// order.
type Queuer func(ctx context.Context, b *pgx.Batch, e event.Event) error

// ConsumerOptions describe a consumer. Service, Purpose, Subjects and either Handler or Queue are required.
type ConsumerOptions struct {
	// Service and Purpose name the consumer: it is durable as "{service}_{purpose}". Each such name gets every
	// event once, however many processes run it.
	Service, Purpose string
	// Subjects are the subjects that it consumes, e.g. "evt.order.confirmed" or "evt.product.>".
	Subjects []string
	// Handler or Queue, but not both, applies the effect of an event.
	Handler Handler
	Queue   Queuer
	// MaxDeliver is the number of attempts at an event, alone in its transaction, before it becomes a dead
	// letter; 0: 8.
	MaxDeliver int
	// Backoff holds the delays after the first failure, the second, and so on; the last one is used for all further
	// failures. Empty: 100 ms, 500 ms, 2 s, 10 s, 30 s, 1 min, 2 min.
	Backoff []time.Duration
	// Done is called after the commit of a transaction in which the handler was called; nil: no call.
	Done func()
	// Batch is the maximum number of events per transaction; 0: 100.
	Batch int
	// BatchWindow is how long a transaction waits for more events after its first; 0: 3 ms; negative: not at all.
	BatchWindow time.Duration
	// AckWait is the time after which an unacknowledged event is delivered again, for example when its process has
	// died; 0: 5 s. A handler may take longer: the consumer extends the time while it runs.
	AckWait time.Duration
	// Clock gives the time; nil: the system's clock.
	Clock clock.Clock
	// Logger takes the consumer's log; nil: no log.
	Logger *zap.Logger
	// Tracer starts a span for each event whose trace is sampled; nil: no spans.
	Tracer trace.Tracer
	// Metrics registers the consumer's metrics; nil: no metrics.
	Metrics prometheus.Registerer
}

// Consumer consumes events and calls its handler with them, in order for each aggregate.
type Consumer struct {
	js      jetstream.JetStream
	pool    *pgxpool.Pool
	o       ConsumerOptions
	name    string
	log     *zap.Logger
	metrics consumerMetrics
	ready   atomic.Bool

	// Only Run's goroutine uses these:
	holds  map[string]map[uint64]hold // by aggregate and stream sequence: events that wait for redelivery
	pruned time.Time
}

// NewConsumer returns a consumer; run it with [Consumer.Run].
func NewConsumer(js jetstream.JetStream, pool *pgxpool.Pool, o ConsumerOptions) *Consumer {
	o.MaxDeliver = cmp.Or(o.MaxDeliver, 8)
	o.Batch = cmp.Or(o.Batch, 100)
	o.BatchWindow = cmp.Or(o.BatchWindow, 3*time.Millisecond)
	o.AckWait = cmp.Or(o.AckWait, defaultAckWait)
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
	name := durableName(o.Service, o.Purpose)
	return &Consumer{
		js: js, pool: pool, o: o, name: name,
		log:     o.Logger.With(zap.String("consumer", name)),
		metrics: newConsumerMetrics(o.Metrics),
		holds:   make(map[string]map[uint64]hold),
	}
}

// Name returns the consumer's durable name.
func (c *Consumer) Name() string { return c.name }

// Ready returns nil while Run runs, once it has found its durable consumer. An outage of JetStream does not
// change that.
//
// Errors: unavailable.
func (c *Consumer) Ready(context.Context) error {
	if !c.ready.Load() {
		return errs.New(errs.Unavailable, "the consumer %s is not listening yet", c.name)
	}
	return nil
}

// Run consumes events until ctx ends, and then finishes the batch in flight. During an outage of PostgreSQL or
// JetStream it waits. Call Run only once.
//
// Errors: internal (wrong options), unavailable (the connection to NATS was closed for good).
func (c *Consumer) Run(ctx context.Context) error {
	if c.o.Service == "" || c.o.Purpose == "" || len(c.o.Subjects) == 0 || (c.o.Handler == nil) == (c.o.Queue == nil) {
		return errs.New(errs.Internal, "consumer %q lacks a service, a purpose, subjects or a handler, or has two",
			c.name)
	}
	defer c.ready.Store(false)

	// Work ends later than ctx, so that a batch in flight is committed and acknowledged.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if sleep(work, drainTimeout) {
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

// Durable returns the consumer's durable consumer in JetStream, for a [Provisioner].
func (c *Consumer) Durable() Durable {
	d := NewDurable(c.o.Service, c.o.Purpose, c.o.Subjects)
	d.AckWait, d.MaxAckPending = c.o.AckWait, 4*c.o.Batch
	return d
}

// listen finds the durable consumer.
//
// Errors: unavailable (it does not exist yet, or JetStream does not answer).
func (c *Consumer) listen(ctx context.Context, l *link) (jetstream.Consumer, error) {
	ctx, cancel, err := l.context(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	cons, err := c.js.Consumer(ctx, StreamEvents, c.name)
	if err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "the consumer %s cannot be used", c.name)
	}
	c.ready.Store(true)
	return cons, nil
}

// fetch requests a batch, and handles its messages as they arrive.
func (c *Consumer) fetch(ctx, work context.Context, l *link, cons jetstream.Consumer) error {
	alive, cancel, err := l.context(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	fctx, cancelWait := context.WithTimeout(alive, fetchTimeout)
	defer cancelWait()
	batch, err := cons.Fetch(c.o.Batch, jetstream.FetchContext(fctx), jetstream.FetchHeartbeat(fetchTimeout/10))
	if err != nil {
		return err
	}
	msgs := batch.Messages()
	for first := range msgs {
		got := available(ctx, msgs, first, c.o.BatchWindow)
		if ctx.Err() != nil {
			for _, m := range got {
				_ = m.Nak() // redelivers at once; if it fails, the message is delivered again after AckWait
			}
			continue
		}
		c.process(work, ctx, got)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// available returns first and the messages that arrive within d. A complete batch closes msgs.
func available(ctx context.Context, msgs <-chan jetstream.Msg, first jetstream.Msg, d time.Duration) []jetstream.Msg {
	got := []jetstream.Msg{first}
	if d > 0 {
		window := time.NewTimer(d)
		defer window.Stop()
	waiting:
		for {
			select {
			case m, ok := <-msgs:
				if !ok {
					return got
				}
				got = append(got, m)
			case <-window.C:
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

// prune deletes, once an hour, inbox rows that are older than any replay reaches. It also drops expired holds.
func (c *Consumer) prune(ctx context.Context) {
	now := c.o.Clock.Now()
	if now.Sub(c.pruned) < pruneInterval {
		return
	}
	c.pruned = now
	for aggregate, holds := range c.holds { // those of events that other processes have handled
		maps.DeleteFunc(holds, func(_ uint64, h hold) bool { return time.Now().After(h.until) })
		if len(holds) == 0 {
			delete(c.holds, aggregate)
		}
	}
	before := now.Add(-RetainInbox)
	_, err := PruneInbox(ctx, c.pool, before)
	if err = errors.Join(err, pruneAttempts(ctx, c.pool, before)); err != nil && ctx.Err() == nil {
		c.log.Warn("the inbox could not be pruned", zap.Error(err))
	}
}
