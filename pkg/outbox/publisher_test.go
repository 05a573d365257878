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
)

// stream is a JetStream with souk's streams.
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
			ID: fmt.Sprintf("evt_%s_%d", aggregate, i), Subject: "evt.order.created", Type: "t", AggregateID: aggregate, Time: time.Unix(1, 0),
		}}
	}
	return rows
}

// batches returns which atomic batch each message of the stream came with, "" for none.
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

func TestRelaysOfOneMomentPublishOneBatch(t *testing.T) {
	t.Parallel()
	js, s := stream(t)
	p := NewPublisher(js)
	p.most = time.Hour
	one, two, nothing := p.begin(), p.begin(), p.begin()
	first := make(chan outcome)
	go func() {
		sent, err := one.publish(t.Context(), "order", rowsOf("ord_1", atomicFrom/2))
		first <- outcome{sent, err}
	}()
	nothing.leave()
	nothing.leave() // counts once
	sent, err := two.publish(t.Context(), "payment", rowsOf("pay_1", atomicFrom/2))
	require.NoError(t, err)
	require.Equal(t, rowsOf("pay_1", atomicFrom/2), sent)
	other := <-first
	require.NoError(t, other.err)
	require.Equal(t, rowsOf("ord_1", atomicFrom/2), other.sent)

	all := batches(t, s)
	require.Len(t, all, atomicFrom)
	require.NotEmpty(t, all[0])
	for _, b := range all {
		require.Equal(t, all[0], b, "one batch")
	}

	alone := p.begin()
	_, err = alone.publish(t.Context(), "order", rowsOf("ord_2", 1))
	require.NoError(t, err)
	require.Empty(t, batches(t, s)[atomicFrom])
}

func TestARelayThatIsSlowHoldsUpTheOthersForAMomentOnly(t *testing.T) {
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

// What one service cannot get rid of is not the others' failure, though they shared a batch.
func TestEachRelayHearsOfItsOwnFailure(t *testing.T) {
	t.Parallel()
	const last = atomicFrom - 1
	for name, c := range map[string]struct {
		at    int
		spoil func(*row)
		want  error
	}{
		"no stream takes it":           {3, func(r *row) { r.Subject = "elsewhere.x" }, errStreamGone},
		"no stream takes the last one": {last, func(r *row) { r.Subject = "elsewhere.x" }, errStreamGone},
		"too large":                    {3, func(r *row) { r.Payload = make([]byte, 4<<20) }, nats.ErrMaxPayload},
		"the last one is too large":    {last, func(r *row) { r.Payload = make([]byte, 4<<20) }, nats.ErrMaxPayload},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js, _ := stream(t)
			p := NewPublisher(js)
			p.most = time.Hour
			one, two := p.begin(), p.begin()
			bad := rowsOf("ord_1", atomicFrom)
			c.spoil(&bad[c.at])
			first := make(chan outcome)
			go func() { // it is the last that is handed over
				for p.handedOver() == 0 {
					runtime.Gosched()
				}
				sent, err := one.publish(t.Context(), "order", bad)
				first <- outcome{sent, err}
			}()
			sent, err := two.publish(t.Context(), "payment", rowsOf("pay_1", 3))
			require.NoError(t, err)
			require.Len(t, sent, 3)
			other := <-first
			require.ErrorIs(t, other.err, c.want)
			require.Equal(t, bad[:c.at], other.sent, "what comes after it, of the same aggregate, waits")
		})
	}
}

func (p *Publisher) handedOver() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// Many events a second come in fewer rounds, few as soon as ever.
func TestThePaceGoesByHowMuchThereIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPublisher(nil)
		after := func(wait time.Duration, events int) time.Duration {
			<-time.After(wait)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.adapt(events)
			return p.pace
		}
		require.Equal(t, gather, after(time.Second, 0), "the first round")
		require.Equal(t, gather, after(time.Second, 999))
		require.Equal(t, 2*gather, after(time.Second, 1000))
		require.Equal(t, gather, after(time.Millisecond, 44), "of one moment: no more than if it were alone")
		require.Equal(t, 2*gather, after(gather, 45))
		require.Equal(t, 2*gather, after(2*gather, 90))

		last := time.Now()
		require.Equal(t, 2*gather-time.Since(p.began)%(2*gather), p.untilNext(last))
		<-time.After(2 * gather)
		require.Zero(t, p.untilNext(last))
		require.Equal(t, gather, after(0, 1))
		require.LessOrEqual(t, p.untilNext(time.Now()), gather)
	})
}

func TestNobodyWaitsForAPublisherWithoutConnection(t *testing.T) {
	t.Parallel()
	js, _ := stream(t)
	p := NewPublisher(js)
	p.most = time.Hour
	gone, cancel := context.WithCancelCause(t.Context())
	_, part := p.begin(), p.begin()
	cancel(errors.New("the connection is gone"))
	_, err := part.publish(gone, "order", rowsOf("ord_1", 2))
	require.ErrorIs(t, err, context.Canceled)
}
