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
)

func TestEveryServiceGetsAllInstancesShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	var byInstance [2]atomic.Int64
	for i := range byInstance {
		o := b.options("shared")
		o.Batch = 5
		o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
			byInstance[i].Add(1)
			return effect("shared")(ctx, tx, e)
		}
		b.run(b.consumer(o))
	}
	b.run(b.consumer(b.options("other")))
	for i := range 300 {
		b.append(b.event(aggregate(i), 1))
	}
	b.exactly("shared", 300)
	b.exactly("other", 300)
	require.Positive(t, byInstance[0].Load())
	require.Positive(t, byInstance[1].Load())
}

func TestPoisonBecomesADeadLetterAndCanBeReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	registry := prometheus.NewRegistry()
	var mended atomic.Bool
	var attempts atomic.Int64
	o := b.options("a")
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
	b.run(b.consumer(o))
	b.run(b.consumer(b.options("other")))
	poison := b.events("ord_poison", 2)
	b.append(b.event("ord_before", 1), poison[0], b.event("ord_after", 1), poison[1])

	b.exactly("other", 4)
	b.exactly("a", 3) // what comes after the poison is not held up for ever
	letters := b.dead()
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

	// Too early: it fails again and is another letter.
	require.NoError(t, outbox.ReplayDead(t.Context(), b.js, l.Seq))
	b.eventually(func() bool { ls := b.dead(); return len(ls) == 1 && ls[0].Seq > l.Seq }, "no second letter")
	require.True(t, errs.Is(outbox.ReplayDead(t.Context(), b.js, l.Seq), errs.NotFound), "it is gone")

	mended.Store(true)
	require.NoError(t, outbox.ReplayDead(t.Context(), b.js, b.dead()[0].Seq))
	b.eventually(func() bool { return b.effects("a") == 4 }, "the replayed event has no effect")
	b.settled("other")
	require.Equal(t, 4, b.effects("other"), "others pass it by")
	require.Empty(t, b.dead())
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

func TestUndecodableBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	b.run(b.consumer(b.options("a")))
	_, err := b.js.Publish(t.Context(), "evt.order.created", []byte("no event at all"))
	require.NoError(t, err)
	m := b.event("ord_1", 1).Msg("order")
	m.Header["ce-time"] = []string{"yesterday"}
	_, err = b.js.PublishMsg(t.Context(), m)
	require.NoError(t, err)
	b.append(b.event("ord_2", 1))
	b.exactly("a", 1)
	letters := b.dead()
	require.Len(t, letters, 2)
	require.Equal(t, []byte("no event at all"), letters[1].Data)
}

func TestPanicIsAFailureOfThatEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	o := b.options("a")
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateID == "ord_bad" {
			panic("cannot happen")
		}
		return effect("a")(ctx, tx, e)
	}
	b.run(b.consumer(o))
	b.append(b.event("ord_1", 1), b.event("ord_bad", 1), b.event("ord_2", 1))
	b.exactly("a", 2)
	require.Len(t, b.dead(), 1)
}

func TestFailedEventHoldsBackThoseAfterIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	var failures atomic.Int64
	o := b.options("a")
	o.Backoff = []time.Duration{150 * time.Millisecond}
	o.MaxDeliver = 5
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateID == "ord_slow" && e.AggregateVersion == 2 && failures.Add(1) <= 4 {
			return errRefused
		}
		return effect("a")(ctx, tx, e)
	}
	b.run(b.consumer(o))
	slow := b.events("ord_slow", 12)
	b.append(slow[:5]...)
	b.append(b.events("ord_quick", 5)...)
	b.eventually(func() bool { return failures.Load() > 1 }, "it is not tried")
	b.append(slow[5:]...) // these come in another fetch
	b.exactly("a", 17)
	require.Empty(t, b.dead())
}

// When the event that failed is done, those that waited for it are still on their way: a new one waits for them.
func TestNewEventDoesNotOvertakeThoseThatWaited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := b.relay()
	b.run(relay)
	const aggregates = 20
	failures := map[string]int{} // handlers run one after the other
	o := b.options("a")
	o.Backoff = []time.Duration{50 * time.Millisecond}
	o.MaxDeliver = 5
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateVersion == 1 {
			if failures[e.AggregateID]++; failures[e.AggregateID] <= 2 {
				return errRefused
			}
			if err := outbox.Append(ctx, b.pool, b.event(e.AggregateID, 6)); err != nil {
				return err
			}
			relay.Wake()
		}
		return effect("a")(ctx, tx, e)
	}
	b.run(b.consumer(o))
	for i := range aggregates {
		b.append(b.events(aggregate(i), 5)...)
	}
	b.exactly("a", 6*aggregates)
}

func TestLongHandlerKeepsItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	release := make(chan struct{})
	var calls atomic.Int64
	o := b.options("a")
	o.AckWait = 300 * time.Millisecond
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		calls.Add(1)
		<-release
		return effect("a")(ctx, tx, e)
	}
	b.run(b.consumer(o))
	b.append(b.event("ord_1", 1))
	b.eventually(func() bool { return calls.Load() == 1 }, "it does not begin")
	wait := time.NewTimer(4 * o.AckWait)
	<-wait.C
	cons, err := b.js.Consumer(t.Context(), outbox.StreamEvents, "a_test")
	require.NoError(t, err)
	require.Zero(t, cons.CachedInfo().NumRedelivered)
	close(release)
	b.exactly("a", 1)
	require.EqualValues(t, 1, calls.Load())
}

func TestBatchInOneTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := b.run(b.relay())
	for i := range 50 {
		b.append(b.event(aggregate(i), 1))
	}
	b.eventually(func() bool { return b.pending() == 0 }, "not sent")
	stop()
	var mu sync.Mutex
	var transactions []string
	o := b.options("a")
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
	b.run(b.consumer(o))
	b.exactly("a", 50)
	slices.Sort(transactions)
	require.Less(t, len(slices.Compact(transactions)), 25)
}

func TestTraceGoesOnOnlyWhenSampled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	seen := make(chan trace.SpanContext, 2)
	o := b.options("a")
	o.Tracer = provider.Tracer("test")
	o.Handler = func(ctx context.Context, _ pgx.Tx, _ event.Event) error {
		seen <- trace.SpanContextFromContext(ctx)
		return nil
	}
	b.run(b.consumer(o))
	const id = "0102030405060708090a0b0c0d0e0f10"
	b.append(b.event("ord_1", 1).With("traceparent", "00-"+id+"-0102030405060708-00"))
	got := <-seen
	require.Equal(t, id, got.TraceID().String(), "the trace's ID always travels")
	require.False(t, got.IsSampled())
	require.Empty(t, recorder.Started())

	b.append(b.event("ord_1", 2).With("traceparent", "00-"+id+"-0102030405060708-01"))
	got = <-seen
	require.True(t, got.IsSampled())
	require.Len(t, recorder.Started(), 1)
	require.Equal(t, id, recorder.Started()[0].SpanContext().TraceID().String())
	require.NoError(t, provider.Shutdown(context.Background()))
}

func TestConsumerIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	b.run(b.consumer(b.options("a")))
	b.append(b.events("ord_1", 5)...)
	b.exactly("a", 5)
	require.NoError(t, b.js.DeleteConsumer(t.Context(), outbox.StreamEvents, "a_test"))
	b.append(b.events("ord_2", 5)...)
	b.exactly("a", 10)
	require.NoError(t, b.js.DeleteStream(t.Context(), outbox.StreamEvents))
	b.append(b.events("ord_3", 5)...)
	b.exactly("a", 15)
}

func TestWrongOptionsFail(t *testing.T) {
	t.Parallel()
	require.True(t, errs.Is(outbox.NewConsumer(nil, nil, outbox.ConsumerOptions{Service: "a"}).Run(t.Context()), errs.Internal))
}

func TestClosedConnectionEndsThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	relay, consumer := b.relay(), b.consumer(b.options("a"))
	done := make(chan error, 2)
	go func() { done <- relay.Run(ctx) }()
	go func() { done <- consumer.Run(ctx) }()
	b.eventually(func() bool { return consumer.Ready(ctx) == nil }, "not ready")
	b.nc.Close()
	b.append(b.event("ord_1", 1))
	for range 2 {
		require.ErrorIs(t, <-done, nats.ErrConnectionClosed)
	}
	require.Error(t, relay.Ready(ctx))
	require.Error(t, consumer.Ready(ctx))
}

func TestTail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	require.NoError(t, outbox.EnsureStreams(t.Context(), b.js, outbox.Streams{}))
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan event.Event, 1000)
	done := make(chan error, 1)
	go func() {
		done <- outbox.Tail(ctx, b.js, []string{"evt.order.>"}, func(e event.Event) {
			select {
			case got <- e:
			default:
			}
		})
	}()
	var seen event.Event
	n := int64(0)
	b.eventually(func() bool { // it shows what comes after it has begun
		n++
		b.append(b.event("ord_1", n))
		select {
		case seen = <-got:
			return true
		default:
			return false
		}
	}, "nothing is shown")
	require.Equal(t, "ord_1", seen.AggregateID)
	cancel()
	require.NoError(t, <-done)
}

func TestDoneIsCalledAfterTheCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.options("order")
	seen := make(chan int, 100)
	o.Done = func() { seen <- b.effects("order") }
	b.run(b.consumer(o))
	b.run(b.relay())
	b.append(b.events("a", 3)...)
	b.exactly("order", 3)
	require.Positive(t, <-seen, "its transaction is there to be seen")
}
