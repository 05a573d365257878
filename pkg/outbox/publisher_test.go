package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"souk/pkg/event"
	"souk/pkg/natstest"
	"souk/pkg/waittest"
)

// stream returns a JetStream with souk's streams, and the stream of events.
func stream(t *testing.T) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	js, err := jetstream.New(natstest.Conn(t))
	require.NoError(t, err)
	require.NoError(t, EnsureStreams(t.Context(), js, Streams{}))
	s, err := js.Stream(t.Context(), StreamEvents)
	require.NoError(t, err)
	return js, s
}

func rowsOf(aggregate string, n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{seq: int64(i), Event: event.Event{
			ID:          fmt.Sprintf("evt_%s_%d", aggregate, i),
			Subject:     "evt.order.created",
			Type:        "t",
			AggregateID: aggregate,
			Time:        time.Unix(1, 0),
		}}
	}
	return rows
}

// batches returns the ID of the atomic batch of each message of the stream, "" for a single message.
func batches(t *testing.T, s jetstream.Stream) []string {
	t.Helper()
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	var out []string
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		out = append(out, m.Header.Get("Nats-Batch-Id"))
	}
	return out
}

func TestOpenTicksShareOneBatch(t *testing.T) {
	t.Parallel()
	js, s := stream(t)
	p := NewPublisher(js)
	p.maxWait = time.Hour
	one, two, nothing := p.begin(), p.begin(), p.begin()
	first := make(chan outcome)
	go func() {
		sent, err := one.publish(t.Context(), "order", rowsOf("ord_1", minAtomic/2))
		first <- outcome{sent, err}
	}()
	nothing.leave()
	nothing.leave() // has no effect
	sent, err := two.publish(t.Context(), "payment", rowsOf("pay_1", minAtomic/2))
	require.NoError(t, err)
	require.Equal(t, rowsOf("pay_1", minAtomic/2), sent)
	other := waittest.Receive(t, first)
	require.NoError(t, other.err)
	require.Equal(t, rowsOf("ord_1", minAtomic/2), other.sent)

	all := batches(t, s)
	require.Len(t, all, minAtomic)
	require.NotEmpty(t, all[0])
	for _, b := range all {
		require.Equal(t, all[0], b, "one batch")
	}

	alone := p.begin()
	_, err = alone.publish(t.Context(), "order", rowsOf("ord_2", 1))
	require.NoError(t, err)
	require.Empty(t, batches(t, s)[minAtomic])
}

func TestSlowRelayDelaysOthersOnlyBriefly(t *testing.T) {
	t.Parallel()
	js, _ := stream(t)
	p := NewPublisher(js)
	slow, quick := p.begin(), p.begin()
	sent, err := quick.publish(t.Context(), "order", rowsOf("ord_1", 2))
	require.NoError(t, err)
	require.Len(t, sent, 2)
	sent, err = slow.publish(t.Context(), "payment", rowsOf("pay_1", 2))
	require.NoError(t, err)
	require.Len(t, sent, 2)
}

// A service's unpublishable event fails only its own relay, even if the relays share a batch.
func TestFailureReachesOnlyItsOwnRelay(t *testing.T) {
	t.Parallel()
	const last = minAtomic - 1
	for name, c := range map[string]struct {
		at    int
		spoil func(*row)
		want  error
	}{
		"no stream takes it":           {3, func(r *row) { r.Subject = "elsewhere.x" }, jetstream.ErrNoStreamResponse},
		"no stream takes the last one": {last, func(r *row) { r.Subject = "elsewhere.x" }, jetstream.ErrNoStreamResponse},
		"too large":                    {3, func(r *row) { r.Payload = make([]byte, 4<<20) }, nats.ErrMaxPayload},
		"the last one is too large":    {last, func(r *row) { r.Payload = make([]byte, 4<<20) }, nats.ErrMaxPayload},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js, _ := stream(t)
			p := NewPublisher(js)
			p.maxWait = time.Hour
			one, two := p.begin(), p.begin()
			bad := rowsOf("ord_1", minAtomic)
			c.spoil(&bad[c.at])
			first := make(chan outcome)
			go func() { // submits last
				for p.submissions() == 0 {
					runtime.Gosched()
				}
				sent, err := one.publish(t.Context(), "order", bad)
				first <- outcome{sent, err}
			}()
			sent, err := two.publish(t.Context(), "payment", rowsOf("pay_1", 3))
			require.NoError(t, err)
			require.Len(t, sent, 3)
			other := waittest.Receive(t, first)
			require.ErrorIs(t, other.err, c.want)
			require.Equal(t, bad[:c.at], other.sent, "later events of the same aggregate are not published")
		})
	}
}

func (p *Publisher) submissions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// At a high rate of events ticks are less frequent. At a low rate they are as frequent as ever.
func TestTickIntervalDoublesAtHighRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPublisher(nil)
		after := func(wait time.Duration, events int) time.Duration {
			waittest.Receive(t, time.After(wait))
			p.mu.Lock()
			defer p.mu.Unlock()
			p.adapt(events)
			return p.interval
		}
		require.Equal(t, tickInterval, after(time.Second, 0), "the first tick")
		require.Equal(t, tickInterval, after(time.Second, 999))
		require.Equal(t, 2*tickInterval, after(time.Second, 1000))
		require.Equal(t, tickInterval, after(time.Millisecond, 44), "the rate is measured over at least one interval")
		require.Equal(t, 2*tickInterval, after(tickInterval, 45))
		require.Equal(t, 2*tickInterval, after(2*tickInterval, 90))

		last := time.Now()
		require.Equal(t, 2*tickInterval-time.Since(p.start)%(2*tickInterval), p.untilNextTick(last))
		waittest.Receive(t, time.After(2*tickInterval))
		require.Zero(t, p.untilNextTick(last))
		require.Equal(t, tickInterval, after(0, 1))
		require.LessOrEqual(t, p.untilNextTick(time.Now()), tickInterval)
	})
}

func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	js, _ := stream(t)
	p := NewPublisher(js)
	p.maxWait = time.Hour
	ctx, cancel := context.WithCancelCause(t.Context())
	_, two := p.begin(), p.begin()
	cancel(errors.New("the connection is gone"))
	_, err := two.publish(ctx, "order", rowsOf("ord_1", 2))
	require.ErrorIs(t, err, context.Canceled)
}
