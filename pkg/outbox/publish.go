package outbox

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// minAtomic is the number of messages from which an atomic batch pays. A batch costs the server a separate store,
	// 1.5 ms of processor time, five syncs, and 7 µs per message. A single message costs 90 µs and a sync.
	minAtomic = 16
	// maxAtomicBytes and maxAtomic bound a batch, because the server holds it open while it arrives. The server takes
	// at most 1,000 messages.
	maxAtomicBytes = 4 << 20
	maxAtomic      = 1000
	// maxInFlight bounds the single publishes in flight.
	maxInFlight = 64
)

// message is a row on its way to JetStream.
type message struct {
	row
	source     string // the service whose event it is
	submission int    // the index of the submission that it came with
}

// errUnsent is the failure of a message that was not published because one before it failed.
var errUnsent = errors.New("not published after a failure")

// outcome is the result of one submission.
type outcome struct {
	sent []row
	err  error // of the first message that was not acknowledged
}

// publish publishes messages to JetStream, in order for each aggregate of a service, and returns the outcome of each
// submission. After a failure the rest of that submission is not published; the others go on.
func publish(ctx context.Context, js jetstream.JetStream, all []message, submissions int) []outcome {
	outcomes := make([]outcome, submissions)
	sent := make([]int, submissions)
	for _, m := range all {
		sent[m.submission]++
	}
	for i, n := range sent {
		outcomes[i].sent = make([]row, 0, n)
	}
	for len(all) > 0 {
		chunk := make([]message, 0, min(len(all), maxAtomic))
		n, size := 0, 0
		for ; n < len(all) && len(chunk) < maxAtomic; n++ {
			m := all[n]
			if outcomes[m.submission].err != nil {
				continue
			}
			if size += len(m.Payload); size > maxAtomicBytes && len(chunk) > 0 {
				break
			}
			chunk = append(chunk, m)
		}
		all = all[n:]
		for i, failed := range publishChunk(ctx, js, chunk) {
			o := &outcomes[chunk[i].submission]
			switch {
			case failed == nil:
				o.sent = append(o.sent, chunk[i].row)
			case o.err == nil:
				o.err = failed
			}
		}
	}
	return outcomes
}

func publishChunk(ctx context.Context, js jetstream.JetStream, chunk []message) []error {
	if len(chunk) >= minAtomic {
		err := publishBatch(ctx, js, chunk)
		if err == nil {
			return make([]error, len(chunk))
		}
		if outcomeUnknown(ctx, err) {
			failed := make([]error, len(chunk))
			for i := range failed {
				failed[i] = err
			}
			return failed
		}
		// The stream has one of them already, one cannot be sent, or this server takes no batches.
	}
	return publishSingly(ctx, js, chunk)
}

func publishBatch(ctx context.Context, js jetstream.JetStream, chunk []message) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	msgs := make([]*nats.Msg, len(chunk))
	for i, m := range chunk {
		msgs[i] = m.Msg(m.source)
	}
	_, err := jetstreamext.PublishMsgBatch(ctx, js, msgs, jetstreamext.BatchFlowControl{AckFirst: false})
	return err
}

// outcomeUnknown reports whether the failed batch may have been stored. After any other error its messages may be
// published one by one, so that a message that cannot be sent does not hold up those of other relays.
func outcomeUnknown(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrConnectionReconnecting)
}

// publishSingly publishes in passes, one event of each aggregate per pass, so that an aggregate's next event is
// published only after the one before it is acknowledged. After a failure the aggregate's later events fail with
// errUnsent.
func publishSingly(ctx context.Context, js jetstream.JetStream, chunk []message) []error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	type aggregate struct{ source, id string }
	var (
		failed = make([]error, len(chunk))
		broken = make(map[aggregate]bool)
		left   = make([]int, len(chunk))
	)
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		var now, later []int
		inPass := make(map[aggregate]bool, len(left))
		for _, i := range left {
			key := aggregate{chunk[i].source, chunk[i].AggregateID}
			switch {
			case broken[key]:
				failed[i] = errUnsent
			case inPass[key]:
				later = append(later, i)
			default:
				inPass[key] = true
				now = append(now, i)
			}
		}
		var wg sync.WaitGroup
		slots := make(chan struct{}, maxInFlight)
		for _, i := range now {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				_, failed[i] = js.PublishMsg(ctx, chunk[i].Msg(chunk[i].source),
					jetstream.WithExpectStream(StreamEvents))
			})
		}
		wg.Wait()
		for _, i := range now {
			if failed[i] != nil {
				broken[aggregate{chunk[i].source, chunk[i].AggregateID}] = true
			}
		}
		left = later
	}
	return failed
}
