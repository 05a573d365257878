package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
	js, _ := stream(t)
	p := NewPublisher(js)
	p.most = time.Hour
	one, two := p.begin(), p.begin()
	bad := rowsOf("ord_1", atomicFrom)
	bad[3].Subject = "elsewhere." + strings.Repeat("x", 10) // no stream takes it
	first := make(chan outcome)
	go func() {
		sent, err := one.publish(t.Context(), "order", bad)
		first <- outcome{sent, err}
	}()
	sent, err := two.publish(t.Context(), "payment", rowsOf("pay_1", 3))
	require.NoError(t, err)
	require.Len(t, sent, 3)
	other := <-first
	require.ErrorIs(t, other.err, errStreamGone)
	require.Equal(t, bad[:3], other.sent, "what comes after it, of the same aggregate, waits")
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
