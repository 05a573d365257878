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
	// atomicFrom is from how many messages on an atomic batch pays: it costs the server a store of its own, 1.5 ms of
	// processor and five syncs, and then 7 µs a message, where one by one each costs 90 µs and a sync.
	atomicFrom = 16
	// atomicBytes and atomicMost bound a batch, which the server holds open while it arrives. It takes 1,000.
	atomicBytes = 4 << 20
	atomicMost  = 1000
	// parallel is how many single publishes are under way at once.
	parallel = 64
)

// errStreamGone says that no stream takes the events.
var errStreamGone = errors.New("no stream takes events")

// message is a row on its way to JetStream.
type message struct {
	row
	source string // the service whose event it is
	of     int    // the handover that it came with
}

// errUnsent is the failure of a message that was not published because one before it failed.
var errUnsent = errors.New("not published after a failure")

// outcome is what became of the messages of one handover.
type outcome struct {
	sent []row
	err  error // of the first that is not out
}

// publish gives messages to JetStream, in order for each aggregate of a service, and says for each of so many handovers
// what it has acknowledged. A handover that has failed sends nothing more; the others go on.
func publish(ctx context.Context, js jetstream.JetStream, all []message, handovers int) []outcome {
	outcomes := make([]outcome, handovers)
	sent := make([]int, handovers)
	for _, m := range all {
		sent[m.of]++
	}
	for i, n := range sent {
		outcomes[i].sent = make([]row, 0, n)
	}
	for len(all) > 0 {
		some := make([]message, 0, min(len(all), atomicMost))
		n, size := 0, 0
		for ; n < len(all) && len(some) < atomicMost; n++ {
			m := all[n]
			if outcomes[m.of].err != nil {
				continue
			}
			if size += len(m.Payload); size > atomicBytes && len(some) > 0 {
				break
			}
			some = append(some, m)
		}
		all = all[n:]
		for i, failed := range publishSome(ctx, js, some) {
			o := &outcomes[some[i].of]
			switch {
			case failed == nil:
				o.sent = append(o.sent, some[i].row)
			case o.err == nil:
				o.err = failed
			}
		}
	}
	return outcomes
}

func publishSome(ctx context.Context, js jetstream.JetStream, some []message) []error {
	if len(some) >= atomicFrom {
		err := publishBatch(ctx, js, some)
		if err == nil {
			return make([]error, len(some))
		}
		if unanswered(ctx, err) {
			failed := make([]error, len(some))
			for i := range failed {
				failed[i] = publishError(err)
			}
			return failed
		}
		// One of them is there already or cannot be sent, or this server takes no batches.
	}
	return publishSingly(ctx, js, some)
}

func publishBatch(ctx context.Context, js jetstream.JetStream, some []message) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	msgs := make([]*nats.Msg, len(some))
	for i, m := range some {
		msgs[i] = m.Msg(m.source)
	}
	_, err := jetstreamext.PublishMsgBatch(ctx, js, msgs, jetstreamext.BatchFlowControl{AckFirst: false})
	return err
}

// unanswered reports whether nobody knows what became of a batch: whatever else went wrong, its messages may be tried one by
// one, so that one that cannot be sent holds up nobody else's.
func unanswered(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionReconnecting)
}

// publishSingly publishes in rounds, so that an aggregate's next event goes out only when the one
// before it is acknowledged; an aggregate whose event fails is left alone until the next attempt.
func publishSingly(ctx context.Context, js jetstream.JetStream, some []message) []error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	type aggregate struct{ source, id string }
	var (
		failed = make([]error, len(some))
		broken = make(map[aggregate]bool)
		left   = make([]int, len(some))
	)
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		var now, later []int
		in := make(map[aggregate]bool, len(left))
		for _, i := range left {
			of := aggregate{some[i].source, some[i].AggregateID}
			switch {
			case broken[of]:
				failed[i] = errUnsent
			case in[of]:
				later = append(later, i)
			default:
				in[of] = true
				now = append(now, i)
			}
		}
		var wg sync.WaitGroup
		slots := make(chan struct{}, parallel)
		for _, i := range now {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				_, failed[i] = js.PublishMsg(ctx, some[i].Msg(some[i].source), jetstream.WithExpectStream(StreamEvents))
			})
		}
		wg.Wait()
		for _, i := range now {
			if failed[i] != nil {
				failed[i] = publishError(failed[i])
				broken[aggregate{some[i].source, some[i].AggregateID}] = true
			}
		}
		left = later
	}
	return failed
}

func publishError(err error) error {
	if streamGone(err) || errors.Is(err, nats.ErrNoResponders) {
		return errors.Join(errStreamGone, err)
	}
	return err
}
