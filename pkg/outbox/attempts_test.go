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
)

// An event that waited behind another for many deliveries has all its attempts before it, whatever process
// comes to hand it out.
func TestWaitingIsNoAttemptAfterARestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	o := b.options("a")
	o.Backoff = []time.Duration{20 * time.Millisecond}
	o.MaxDeliver = 1000
	var failures atomic.Int64
	o.Handler = func(_ context.Context, _ pgx.Tx, e event.Event) error {
		if e.AggregateVersion == 1 {
			failures.Add(1)
		}
		return errRefused
	}
	stop := b.run(b.consumer(o))
	b.append(b.events("ord_1", 2)...)
	b.eventually(func() bool { return failures.Load() > 15 }, "it is not tried")
	stop()

	o.MaxDeliver = 3
	var first atomic.Int64
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.AggregateVersion == 2 && first.Add(1) <= 2 {
			return errRefused
		}
		return effect("a")(ctx, tx, e)
	}
	b.run(b.consumer(o))
	b.once("a", 2)
	require.Empty(t, b.dead())
	require.EqualValues(t, 3, first.Load())
}

// Failures count together, whoever had them.
func TestAttemptsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	o := b.options("a")
	o.MaxDeliver = 6
	var failures atomic.Int64
	o.Handler = func(context.Context, pgx.Tx, event.Event) error {
		failures.Add(1)
		return errRefused
	}
	stop := b.run(b.consumer(o))
	b.append(b.event("ord_1", 1))
	b.eventually(func() bool { return failures.Load() >= 2 }, "it is not tried")
	stop()
	b.run(b.consumer(o))
	b.eventually(func() bool { return len(b.dead()) == 1 }, "it is not given up")
	require.Equal(t, 6, b.dead()[0].Attempts)
	require.LessOrEqual(t, failures.Load(), int64(7), "one that the end of its process cut short may not be counted")
}

// An event that was delivered ever so often, and handed to nobody, is no poison.
func TestDeliveriesToNobodyAreNoAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	o := b.options("a")
	b.run(b.consumer(o))() // which leaves the durable consumer behind
	b.append(b.event("ord_1", 1))
	b.deliver(o, 150)
	var first atomic.Int64
	o.Handler = func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if first.Add(1) <= 2 {
			return errRefused
		}
		return effect("a")(ctx, tx, e)
	}
	b.run(b.consumer(o))
	b.exactly("a", 1)
	require.Empty(t, b.dead())
}

// An event of which the process dies each time is given up, though no process ever says so.
func TestEventThatKillsItsProcessIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	o := b.options("a")
	o.AckWait = 200 * time.Millisecond
	b.run(b.consumer(o))()
	b.append(b.event("ord_1", 1))
	b.deliver(o, 101)
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
			_ = b.consumer(deadly).Run(b.t.Context())
		}()
		select {
		case <-died:
		case <-time.After(patience):
			require.Fail(t, "the event does not come again")
		}
	}
	require.Equal(t, o.MaxDeliver, kills)
	require.Empty(t, b.dead())
	b.run(b.consumer(deadly))
	b.eventually(func() bool { return len(b.dead()) == 1 }, "it is not given up")
	require.Contains(t, b.dead()[0].Reason, "handed to the handler 3 times")
}

// An attempt that a process broke off because it was told to stop is none, however often that happens.
func TestStoppingIsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	o := b.options("a")
	b.run(b.consumer(o))()
	b.append(b.event("ord_1", 1))
	b.deliver(o, 101) // from now on an attempt is counted before it is made
	for range o.MaxDeliver + 1 {
		ctx, stop := context.WithCancel(t.Context())
		begun, done := make(chan struct{}), make(chan error, 1)
		cut := o
		cut.Handler = func(context.Context, pgx.Tx, event.Event) error {
			close(begun)
			<-ctx.Done()
			return errRefused
		}
		go func() { done <- b.consumer(cut).Run(ctx) }()
		select {
		case <-begun:
		case <-time.After(patience):
			require.Fail(t, "the event does not come")
		}
		stop()
		require.NoError(t, <-done)
	}
	b.run(b.consumer(o))
	b.exactly("a", 1)
	require.Empty(t, b.dead())
}

func TestAttemptsAreForgottenWithTheInbox(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for event, age := range map[string]time.Duration{"evt_old": outbox.RetainInbox + time.Hour, "evt_young": outbox.RetainInbox - time.Hour} {
		_, err := b.pool.Exec(t.Context(), `insert into inbox_attempt (consumer, event_id, stream_seq, attempts, tried_at) values ('a_test', $1, 1, 2, $2)`, event, time.Now().Add(-age))
		require.NoError(t, err)
	}
	b.run(b.consumer(b.options("a")))
	b.eventually(func() bool { return b.count(`select count(*) from inbox_attempt`) == 1 }, "the old one stays")
	require.Equal(t, 1, b.count(`select count(*) from inbox_attempt where event_id = 'evt_young'`))
}

// deliver has the consumer's next message delivered n times to somebody who has no use for it.
func (b *bundle) deliver(o outbox.ConsumerOptions, n int) {
	b.t.Helper()
	cons, err := b.js.Consumer(b.t.Context(), outbox.StreamEvents, o.Service+"_"+o.Purpose)
	require.NoError(b.t, err)
	for range n {
		m, err := cons.Next(jetstream.FetchMaxWait(patience))
		require.NoError(b.t, err)
		require.NoError(b.t, m.Nak())
	}
}
