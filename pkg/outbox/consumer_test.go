package outbox_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/waittest"
)

func TestEachServiceGetsEveryEventAndInstancesShareThem(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	var byInstance [2]atomic.Int64
	for i := range byInstance {
		o := h.options("shared")
		o.Batch = 5
		o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
			byInstance[i].Add(1)
			return effect("shared")(ctx, tx, e)
		}
		h.run(h.consumer(o))
	}
	h.run(h.consumer(h.options("other")))
	for i := range 300 {
		h.append(h.event(aggregate(i), 1))
	}
	h.exactly("shared", 300)
	h.exactly("other", 300)
	require.Positive(t, byInstance[0].Load())
	require.Positive(t, byInstance[1].Load())
}

func TestPoisonBecomesDeadLetterThatCanBeReplayed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	registry := prometheus.NewRegistry()
	var mended atomic.Bool
	var attempts atomic.Int64
	o := h.options("a")
	o.Metrics = registry
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if err := effect("a")(ctx, tx, e); err != nil {
			return err
		}
		if e.AggregateID == "ord_poison" && e.AggregateVersion == 1 && !mended.Load() {
			attempts.Add(1)
			return errRefused
		}
		return nil
	}
	h.run(h.consumer(o))
	h.run(h.consumer(h.options("other")))
	poison := h.events("ord_poison", 2)
	h.append(h.event("ord_before", 1), poison[0], h.event("ord_after", 1), poison[1])

	h.exactly("other", 4)
	h.exactly("a", 3) // the poison does not hold up later events for ever
	letters := h.dead()
	require.Len(t, letters, 1)
	l := letters[0]
	require.Equal(t, "a_test", l.Consumer)
	require.Equal(t, poison[0].ID, l.EventID)
	require.Equal(t, "ord_poison", l.AggregateID)
	require.Equal(t, "evt.order.created", l.Subject)
	require.Equal(t, 3, l.Attempts)
	require.Contains(t, l.Reason, "the handler does not want it")
	require.LessOrEqual(t, attempts.Load(), int64(4), "at most once with its neighbours, three times alone")
	require.InDelta(t, 1, testutil.ToFloat64(counter(t, registry, "event_dead_total")), 0)

	// A replay before the handler is mended fails again and becomes a new letter.
	require.NoError(t, outbox.ReplayDead(t.Context(), h.js, l.Seq))
	waittest.Until(h.t, func() bool { ls := h.dead(); return len(ls) == 1 && ls[0].Seq > l.Seq }, "no second letter")
	require.True(t, errs.Is(outbox.ReplayDead(t.Context(), h.js, l.Seq), errs.NotFound), "the first letter is gone")

	mended.Store(true)
	require.NoError(t, outbox.ReplayDead(t.Context(), h.js, h.dead()[0].Seq))
	waittest.Until(h.t, func() bool { return h.effects("a") == 4 }, "the replayed event has no effect")
	h.drained("other")
	require.Equal(t, 4, h.effects("other"), "other consumers skip it")
	require.Empty(t, h.dead())
}

func counter(t *testing.T, r *prometheus.Registry, name string) prometheus.Collector {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sum"})
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				g.Add(m.GetCounter().GetValue())
			}
		}
	}
	return g
}

func TestUndecodableMessageBecomesDeadLetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	h.run(h.consumer(h.options("a")))
	_, err := h.js.Publish(t.Context(), "evt.order.created", []byte("no event at all"))
	require.NoError(t, err)
	m := h.event("ord_1", 1).Msg("order")
	m.Header["ce-time"] = []string{"yesterday"}
	_, err = h.js.PublishMsg(t.Context(), m)
	require.NoError(t, err)
	h.append(h.event("ord_2", 1))
	h.exactly("a", 1)
	letters := h.dead()
	require.Len(t, letters, 2)
	require.Equal(t, []byte("no event at all"), letters[1].Data)
}

func TestPanicFailsOnlyItsEvent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	o := h.options("a")
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateID == "ord_bad" {
			panic("cannot happen")
		}
		return effect("a")(ctx, tx, e)
	}
	h.run(h.consumer(o))
	h.append(h.event("ord_1", 1), h.event("ord_bad", 1), h.event("ord_2", 1))
	h.exactly("a", 2)
	require.Len(t, h.dead(), 1)
}

func TestFailedEventHoldsBackLaterEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	var failures atomic.Int64
	o := h.options("a")
	o.Backoff = []time.Duration{150 * time.Millisecond}
	o.MaxDeliver = 5
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateID == "ord_slow" && e.AggregateVersion == 2 && failures.Add(1) <= 4 {
			return errRefused
		}
		return effect("a")(ctx, tx, e)
	}
	h.run(h.consumer(o))
	slow := h.events("ord_slow", 12)
	h.append(slow[:5]...)
	h.append(h.events("ord_quick", 5)...)
	waittest.Until(h.t, func() bool { return failures.Load() > 1 }, "it is not tried")
	h.append(slow[5:]...) // these are in another fetch
	h.exactly("a", 17)
	require.Empty(t, h.dead())
}

// After the failed event is handled, the events that waited for it are still to be redelivered. A new event waits
// for them.
func TestNewEventDoesNotOvertakeWaitingEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	relay := h.relay()
	h.run(relay)
	const aggregates = 20
	failures := map[string]int{} // one handler runs at a time
	o := h.options("a")
	o.Backoff = []time.Duration{50 * time.Millisecond}
	o.MaxDeliver = 5
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateVersion == 1 {
			if failures[e.AggregateID]++; failures[e.AggregateID] <= 2 {
				return errRefused
			}
			if err := outbox.Append(ctx, h.pool, h.event(e.AggregateID, 6)); err != nil {
				return err
			}
			relay.Wake()
		}
		return effect("a")(ctx, tx, e)
	}
	h.run(h.consumer(o))
	for i := range aggregates {
		h.append(h.events(aggregate(i), 5)...)
	}
	h.exactly("a", 6*aggregates)
}

// TestSlowHandlerAsksForMoreTime reads the acknowledgements of a consumer. Whether they arrive before the server
// delivers again depends on how busy the machine is.
func TestSlowHandlerAsksForMoreTime(t *testing.T) {
	t.Parallel()
	h := setup(t)
	acks, err := h.nc.SubscribeSync("$JS.ACK." + outbox.StreamEvents + ".a_test.>")
	require.NoError(t, err)
	require.NoError(t, h.nc.Flush())
	h.run(h.relay())
	release := make(chan struct{})
	o := h.options("a")
	o.AckWait = 600 * time.Millisecond
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		waittest.Receive(t, release)
		return effect("a")(ctx, tx, e)
	}
	h.run(h.consumer(o))
	h.append(h.event("ord_1", 1))
	for range 4 { // longer than AckWait
		msg, err := acks.NextMsg(20 * time.Second)
		require.NoError(t, err)
		require.Equal(t, "+WPI", string(msg.Data), "work in progress")
	}
	close(release)
	h.exactly("a", 1)
}

func TestBatchSharesTransaction(t *testing.T) {
	t.Parallel()
	h := setup(t)
	stop := h.run(h.relay())
	for i := range 50 {
		h.append(h.event(aggregate(i), 1))
	}
	waittest.Until(h.t, func() bool { return h.pending() == 0 }, "not sent")
	stop()
	var mu sync.Mutex
	var transactions []string
	o := h.options("a")
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		var id string
		if err := tx.QueryRow(ctx, `select pg_current_xact_id()::text`).Scan(&id); err != nil {
			return err
		}
		mu.Lock()
		transactions = append(transactions, id)
		mu.Unlock()
		return effect("a")(ctx, tx, e)
	}
	h.run(h.consumer(o))
	h.exactly("a", 50)
	slices.Sort(transactions)
	require.Less(t, len(slices.Compact(transactions)), 25)
}

func TestSpanIsStartedOnlyForSampledTrace(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	seen := make(chan trace.SpanContext, 2)
	o := h.options("a")
	o.Tracer = provider.Tracer("test")
	o.Handler = func(ctx context.Context, _ pgx.Tx, _ event.Event) error {
		seen <- trace.SpanContextFromContext(ctx)
		return nil
	}
	h.run(h.consumer(o))
	const id = "0102030405060708090a0b0c0d0e0f10"
	h.append(h.event("ord_1", 1).With("traceparent", "00-"+id+"-0102030405060708-00"))
	got := waittest.Receive(t, seen)
	require.Equal(t, id, got.TraceID().String(), "the event carries the trace ID even if it is not sampled")
	require.False(t, got.IsSampled())
	require.Empty(t, recorder.Started())

	h.append(h.event("ord_1", 2).With("traceparent", "00-"+id+"-0102030405060708-01"))
	got = waittest.Receive(t, seen)
	require.True(t, got.IsSampled())
	require.Len(t, recorder.Started(), 1)
	require.Equal(t, id, recorder.Started()[0].SpanContext().TraceID().String())
	require.NoError(t, provider.Shutdown(context.Background()))
}

func TestDeletedConsumerIsCreatedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	h.run(h.consumer(h.options("a")))
	h.append(h.events("ord_1", 5)...)
	h.exactly("a", 5)
	require.NoError(t, h.js.DeleteConsumer(t.Context(), outbox.StreamEvents, "a_test"))
	h.append(h.events("ord_2", 5)...)
	h.exactly("a", 10)
	require.NoError(t, h.js.DeleteStream(t.Context(), outbox.StreamEvents))
	h.append(h.events("ord_3", 5)...)
	h.exactly("a", 15)
}

func TestConsumerRefusesWrongOptions(t *testing.T) {
	t.Parallel()
	require.True(t,
		errs.Is(outbox.NewConsumer(nil, nil, outbox.ConsumerOptions{Service: "a"}).Run(t.Context()), errs.Internal))
}

func TestClosedConnectionEndsRelayAndConsumer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	relay, consumer := h.relay(), h.consumer(h.options("a"))
	h.provision(consumer.Durable())
	done := make(chan error, 2)
	go func() { done <- relay.Run(ctx) }()
	go func() { done <- consumer.Run(ctx) }()
	waittest.Until(h.t, func() bool { return consumer.Ready(ctx) == nil }, "not ready")
	h.nc.Close()
	h.append(h.event("ord_1", 1))
	for range 2 {
		require.ErrorIs(t, waittest.Receive(t, done), nats.ErrConnectionClosed)
	}
	require.Error(t, relay.Ready(ctx))
	require.Error(t, consumer.Ready(ctx))
}

func TestTailShowsNewEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	require.NoError(t, outbox.EnsureStreams(t.Context(), h.js, outbox.Streams{}))
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan event.Event, 1000)
	done := make(chan error, 1)
	go func() {
		done <- outbox.Tail(ctx, h.js, []string{"evt.order.>"}, func(e event.Event) {
			select {
			case got <- e:
			default:
			}
		})
	}()
	var seen event.Event
	n := int64(0)
	waittest.Until(h.t, func() bool { // Tail shows only events that are published after it has begun
		n++
		h.append(h.event("ord_1", n))
		select {
		case seen = <-got:
			return true
		default:
			return false
		}
	}, "nothing is shown")
	require.Equal(t, "ord_1", seen.AggregateID)
	cancel()
	require.NoError(t, waittest.Receive(t, done))
}

func TestDoneIsCalledAfterCommit(t *testing.T) {
	t.Parallel()
	h := setup(t)
	o := h.options("order")
	seen := make(chan int, 100)
	o.Done = func() { seen <- h.effects("order") }
	h.run(h.consumer(o))
	h.run(h.relay())
	h.append(h.events("a", 3)...)
	h.exactly("order", 3)
	require.Positive(t, waittest.Receive(t, seen), "its transaction is visible")
}
