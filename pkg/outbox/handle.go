package outbox

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/postgres"
)

// Values of the label outcome of event_handled_total.
const (
	outcomeOK        = "ok"
	outcomeDuplicate = "duplicate"
	outcomeRetry     = "retry"
	outcomeDead      = "dead"
)

const (
	// holdGrace is how long after its retry is due a failed event holds back later ones. After that, another process
	// must have got it.
	holdGrace = time.Minute
	// waitGrace is the same for an event that only waited, which is redelivered promptly.
	waitGrace = 2 * time.Second
)

// hold records that an event was sent back for redelivery. Later events of its aggregate must wait for it.
type hold struct {
	due   time.Time // when the failed event is delivered again
	until time.Time // when the hold expires
}

// item is a message that is being processed.
type item struct {
	msg        jetstream.Msg
	seq        uint64
	deliveries int // by JetStream, for any reason
	attempts   int // of the handler with this event alone; 0: not counted yet
	event      event.Event
	done       bool // acknowledged or sent back
}

// process handles messages in order. Consecutive messages that are delivered for the first time share a transaction.
// The end of stop ends the wait for a database that is away.
func (c *Consumer) process(ctx, stop context.Context, msgs []jetstream.Msg) {
	items := make([]*item, 0, len(msgs))
	for _, m := range msgs {
		if it := c.open(ctx, m); it != nil {
			items = append(items, it)
		}
	}
	defer c.keepAlive(items)()

	for len(items) > 0 {
		n := 1
		if items[0].deliveries == 1 {
			for n < len(items) && items[n].deliveries == 1 {
				n++
			}
		}
		c.group(ctx, stop, items[:n])
		items = items[n:]
	}
}

// open decodes a message. It disposes of a message that is not an event, or is for another consumer, and returns nil.
func (c *Consumer) open(ctx context.Context, m jetstream.Msg) *item {
	meta, err := m.Metadata()
	if err != nil {
		c.log.Error("a message without JetStream's metadata", zap.Error(err))
		return nil
	}
	it := &item{msg: m, seq: meta.Sequence.Stream, deliveries: int(meta.NumDelivered)}
	if only := m.Headers().Get(headerOnly); only != "" && only != c.name {
		c.ack(it, m.Ack, "")
		return nil
	}
	e, err := event.FromMsg(m.Subject(), m.Headers(), m.Data())
	if err != nil {
		c.dead(ctx, it, err)
		return nil
	}
	it.event = e
	return it
}

// group handles items in one transaction, or each alone if that fails.
func (c *Consumer) group(ctx, stop context.Context, items []*item) {
	items = c.release(items)
	if len(items) == 0 || len(items) == 1 && !c.begin(ctx, items[0]) {
		return
	}
	fresh, err := c.apply(ctx, stop, items)
	switch {
	case err == nil:
		if len(fresh) > 0 && c.o.Done != nil {
			c.o.Done()
		}
		now := c.o.Clock.Now()
		for _, it := range items {
			outcome := outcomeDuplicate
			if fresh[it.event.ID] {
				delete(fresh, it.event.ID) // a second copy in the batch is a duplicate
				outcome = outcomeOK
				c.metrics.lag.WithLabelValues(c.name).Observe(max(now.Sub(it.event.Time).Seconds(), 0))
			}
			c.ack(it, it.msg.Ack, outcome)
		}
	case stop.Err() != nil:
		for _, it := range items {
			c.uncount(ctx, it) // before another process gets it
			c.ack(it, it.msg.Nak, "")
		}
	case len(items) > 1:
		for i := range items {
			c.group(ctx, stop, items[i:i+1])
		}
	default:
		c.fail(ctx, items[0], err)
	}
}

// release returns the items that need not wait for an earlier event of their aggregate. It sends the others back.
func (c *Consumer) release(items []*item) []*item {
	if len(c.holds) == 0 {
		return items
	}
	free := make([]*item, 0, len(items))
	for _, it := range items {
		due, waits := c.behind(it)
		if !waits {
			free = append(free, it)
			continue
		}
		// Waiting events are redelivered in any order, and between new ones, so each of them holds back later ones.
		c.hold(it, due, waitGrace)
		c.nak(it, max(time.Until(due), 0)+20*time.Millisecond)
	}
	return free
}

// behind reports whether an earlier event of the item's aggregate waits for redelivery, and when the last one is due.
func (c *Consumer) behind(it *item) (due time.Time, waits bool) {
	now := time.Now()
	for seq, h := range c.holds[it.event.AggregateID] {
		switch {
		case now.After(h.until):
			delete(c.holds[it.event.AggregateID], seq)
		case seq < it.seq:
			waits = true
			if h.due.After(due) {
				due = h.due
			}
		}
	}
	return due, waits
}

// hold makes an item hold back later events of its aggregate, until grace after it is due.
func (c *Consumer) hold(it *item, due time.Time, grace time.Duration) {
	holds := c.holds[it.event.AggregateID]
	if holds == nil {
		holds = make(map[uint64]hold)
		c.holds[it.event.AggregateID] = holds
	}
	holds[it.seq] = hold{due: due, until: due.Add(grace)}
}

// unhold ends the item's hold.
func (c *Consumer) unhold(it *item) {
	holds := c.holds[it.event.AggregateID]
	delete(holds, it.seq)
	if len(holds) == 0 {
		delete(c.holds, it.event.AggregateID)
	}
}

const sqlInbox = `
insert into inbox (consumer, event_id)
select $1, e.id from unnest($2::text[]) as e (id) order by e.id
on conflict do nothing
returning event_id`

// apply inserts the events' inbox rows and calls the handler for those events that had none, in one transaction.
// While the database is away it waits, which does not count as an attempt. It returns the IDs of the events that
// had no row.
func (c *Consumer) apply(ctx, stop context.Context, items []*item) (fresh map[string]bool, err error) {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.event.ID
	}
	var wait backoff
	for {
		err = postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error {
			fresh = make(map[string]bool, len(items))
			rows, err := tx.Query(ctx, sqlInbox, c.name, ids)
			if err != nil {
				return postgres.Err(err)
			}
			inserted, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return postgres.Err(err)
			}
			for _, id := range inserted {
				fresh[id] = true
			}
			seen := make(map[string]bool, len(items))
			var b pgx.Batch
			for _, it := range items {
				if !fresh[it.event.ID] || seen[it.event.ID] {
					continue
				}
				seen[it.event.ID] = true
				if err := c.call(ctx, tx, &b, it.event); err != nil {
					return err
				}
			}
			return postgres.SendBatch(ctx, tx, &b)
		})
		if !errs.Is(err, errs.Unavailable) || c.pool.Ping(ctx) == nil {
			return fresh, err
		}
		if wait.failures == 0 {
			c.log.Warn("the database is away; events wait", zap.Error(err))
		}
		if !wait.sleep(stop, nil) {
			return nil, err
		}
	}
}

// call calls the handler within the event's trace. It returns a panic as an error.
func (c *Consumer) call(ctx context.Context, tx pgx.Tx, b *pgx.Batch, e event.Event) (err error) {
	ctx = e.Context(ctx)
	if c.o.Tracer != nil && trace.SpanContextFromContext(ctx).IsSampled() {
		var span trace.Span
		ctx, span = c.o.Tracer.Start(ctx, "consume "+e.Subject, trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(attribute.String("messaging.system", "nats"),
				attribute.String("messaging.message.id", e.ID),
				attribute.String("messaging.consumer.group.name", c.name),
				attribute.String("souk.aggregate.id", e.AggregateID)))
		defer func() {
			if err != nil {
				span.SetStatus(codes.Error, string(errs.CodeOf(err)))
			}
			span.End()
		}()
	}
	defer func() {
		if p := recover(); p != nil {
			err = errs.Wrap(fmt.Errorf("panic: %v\n%s", p, debug.Stack()), errs.Internal, "the handler panicked")
		}
	}()
	if c.o.Queue != nil {
		return c.o.Queue(ctx, b, e)
	}
	return c.o.Handler(ctx, tx, e)
}

// fail sends an event back for a later attempt. After the last attempt it makes it a dead letter.
func (c *Consumer) fail(ctx context.Context, it *item, err error) {
	if it.attempts == 0 { // not counted beforehand
		c.count(ctx, it)
	}
	if it.attempts >= c.o.MaxDeliver {
		c.dead(ctx, it, err)
		return
	}
	delay := c.o.Backoff[min(max(it.attempts, 1), len(c.o.Backoff))-1]
	c.log.Warn("an event failed and will be tried again", zap.String("event_id", it.event.ID),
		zap.String("subject", it.event.Subject), zap.Int("attempt", it.attempts), zap.Duration("in", delay),
		zap.Error(err))
	c.hold(it, time.Now().Add(delay), holdGrace)
	c.nak(it, delay)
}

// nak sends an item back for redelivery after the delay. Its hold stays.
func (c *Consumer) nak(it *item, delay time.Duration) {
	it.done = true
	if err := it.msg.NakWithDelay(delay); err != nil {
		c.log.Debug("an event could not be sent back; it comes again by itself", zap.Error(err))
	}
	c.metrics.handled.WithLabelValues(c.name, outcomeRetry).Inc()
}

// ack acknowledges an item with send, and ends its hold. If the acknowledgement is lost, the inbox drops the
// redelivered event.
func (c *Consumer) ack(it *item, send func() error, outcome string) {
	it.done = true
	if err := send(); err != nil {
		c.log.Debug("an event could not be acknowledged; it comes again", zap.Error(err))
	}
	c.unhold(it)
	if outcome != "" {
		c.metrics.handled.WithLabelValues(c.name, outcome).Inc()
	}
}

// keepAlive reports to JetStream that the items are in progress, until stop is called.
func (c *Consumer) keepAlive(items []*item) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(c.o.AckWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
				for _, it := range items {
					_ = it.msg.InProgress() // fails, as it should, for an acknowledged item
				}
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
