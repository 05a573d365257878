package outbox_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/waittest"
)

// An event that was delivered many times while it waited for another still has all its attempts, also in a new
// process.
func TestWaitingCountsAsNoAttemptAfterRestart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	o := h.options("a")
	o.Backoff = []time.Duration{20 * time.Millisecond}
	o.MaxDeliver = 1000
	var failures atomic.Int64
	o.Handler = func(_ context.Context, _ pgx.Tx, e event.Event) error {
		if e.AggregateVersion == 1 {
			failures.Add(1)
		}
		return errRefused
	}
	stop := h.run(h.consumer(o))
	h.append(h.events("ord_1", 2)...)
	waittest.Until(h.t, func() bool { return failures.Load() > 15 }, "it is not tried")
	stop()

	o.MaxDeliver = 3
	var first atomic.Int64
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateVersion == 2 && first.Add(1) <= 2 {
			return errRefused
		}
		return effect("a")(ctx, tx, e)
	}
	h.run(h.consumer(o))
	h.once("a", 2)
	require.Empty(t, h.dead())
	require.EqualValues(t, 3, first.Load())
}

// The failures in all processes share one count.
func TestAttemptsSurviveRestart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	o := h.options("a")
	o.MaxDeliver = 6
	var failures atomic.Int64
	o.Handler = func(context.Context, pgx.Tx, event.Event) error {
		failures.Add(1)
		return errRefused
	}
	stop := h.run(h.consumer(o))
	h.append(h.event("ord_1", 1))
	waittest.Until(h.t, func() bool { return failures.Load() >= 2 }, "it is not tried")
	stop()
	h.run(h.consumer(o))
	waittest.Until(h.t, func() bool { return len(h.dead()) == 1 }, "no dead letter")
	require.Equal(t, 6, h.dead()[0].Attempts)
	require.LessOrEqual(t, failures.Load(), int64(7),
		"an attempt that the end of its process interrupts may stay uncounted")
}

// An event that was delivered many times, but never to a handler, is not poison.
func TestDeliveriesWithoutHandlerCallAreNoAttempts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	o := h.options("a")
	h.run(h.consumer(o))() // creates the durable consumer
	h.append(h.event("ord_1", 1))
	h.deliver(o, 150)
	var first atomic.Int64
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if first.Add(1) <= 2 {
			return errRefused
		}
		return effect("a")(ctx, tx, e)
	}
	h.run(h.consumer(o))
	h.exactly("a", 1)
	require.Empty(t, h.dead())
}

// An event that kills its process each time becomes a dead letter, although no process lives to report a failure.
func TestEventThatKillsItsProcessBecomesDeadLetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	o := h.options("a")
	o.AckWait = 200 * time.Millisecond
	h.run(h.consumer(o))()
	h.append(h.event("ord_1", 1))
	h.deliver(o, 101)
	kills := 0
	deadly := o
	deadly.Handler = func(context.Context, pgx.Tx, event.Event) error {
		kills++
		runtime.Goexit()
		return nil
	}
	for range o.MaxDeliver {
		died := make(chan struct{})
		go func() {
			defer close(died)
			_ = h.consumer(deadly).Run(h.t.Context())
		}()
		waittest.Receive(t, died)
	}
	require.Equal(t, o.MaxDeliver, kills)
	require.Empty(t, h.dead())
	h.run(h.consumer(deadly))
	waittest.Until(h.t, func() bool { return len(h.dead()) == 1 }, "no dead letter")
	require.Contains(t, h.dead()[0].Reason, "handed to the handler 3 times")
}

// An attempt that is interrupted because its process stops does not count, however often that happens.
func TestInterruptedAttemptIsNotCounted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	o := h.options("a")
	h.run(h.consumer(o))()
	h.append(h.event("ord_1", 1))
	h.deliver(o, 101) // from now on an attempt is counted before it is made
	for range o.MaxDeliver + 1 {
		ctx, stop := context.WithCancel(t.Context())
		begun, done := make(chan struct{}), make(chan error, 1)
		cut := o
		cut.Handler = func(context.Context, pgx.Tx, event.Event) error {
			close(begun)
			waittest.Receive(t, ctx.Done())
			return errRefused
		}
		go func() { done <- h.consumer(cut).Run(ctx) }()
		waittest.Receive(t, begun)
		stop()
		require.NoError(t, waittest.Receive(t, done))
	}
	h.run(h.consumer(o))
	h.exactly("a", 1)
	require.Empty(t, h.dead())
}

func TestAttemptsArePrunedWithInbox(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for event, age := range map[string]time.Duration{
		"evt_old": outbox.RetainInbox + time.Hour, "evt_young": outbox.RetainInbox - time.Hour,
	} {
		_, err := h.pool.Exec(
			t.Context(),
			`insert into inbox_attempt (consumer, event_id, stream_seq, attempts, tried_at) values ('a_test', $1, 1, 2, $2)`,
			event,
			time.Now().Add(-age),
		)
		require.NoError(t, err)
	}
	h.run(h.consumer(h.options("a")))
	waittest.Until(h.t, func() bool { return h.count(`select count(*) from inbox_attempt`) == 1 },
		"the old count stays")
	require.Equal(t, 1, h.count(`select count(*) from inbox_attempt where event_id = 'evt_young'`))
}

// deliver fetches the consumer's next message n times and sends it back each time.
func (h *harness) deliver(o outbox.ConsumerOptions, n int) {
	h.t.Helper()
	cons, err := h.js.Consumer(h.t.Context(), outbox.StreamEvents, o.Service+"_"+o.Purpose)
	require.NoError(h.t, err)
	for range n {
		m, err := cons.Next(jetstream.FetchMaxWait(timeout))
		require.NoError(h.t, err)
		require.NoError(h.t, m.Nak())
	}
}
