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
	// atomicFrom is from how many messages on an atomic batch pays: it costs the server a store of its own,
	// 17 ms and more when it syncs. Batches of 20 are six times as fast one by one, those of 50 half as fast.
	atomicFrom = 40
	// atomicBytes bounds a batch, which the server holds open while it arrives.
	atomicBytes = 4 << 20
	// parallel is how many single publishes are under way at once.
	parallel = 64
)

// errStreamGone says that no stream takes the events.
var errStreamGone = errors.New("no stream takes events")

// publish gives rows to JetStream, in order for each aggregate, and returns those that it has
// acknowledged. On an error the others go out with the next attempt.
func publish(ctx context.Context, js jetstream.JetStream, source string, rows []row) ([]row, error) {
	sent := make([]row, 0, len(rows))
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && (n == 0 || size+len(rows[n].Payload) <= atomicBytes) {
			size += len(rows[n].Payload)
			n++
		}
		done, err := publishSome(ctx, js, source, rows[:n])
		sent = append(sent, done...)
		if err != nil {
			return sent, err
		}
		rows = rows[n:]
	}
	return sent, nil
}

func publishSome(ctx context.Context, js jetstream.JetStream, source string, rows []row) ([]row, error) {
	if len(rows) >= atomicFrom {
		err := publishBatch(ctx, js, source, rows)
		if err == nil {
			return rows, nil
		}
		if !refused(err) {
			return nil, publishError(err)
		}
		// One of them is there already, or this server takes no batches.
	}
	return publishSingly(ctx, js, source, rows)
}

func publishBatch(ctx context.Context, js jetstream.JetStream, source string, rows []row) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	msgs := make([]*nats.Msg, len(rows))
	for i, r := range rows {
		msgs[i] = r.Msg(source)
	}
	_, err := jetstreamext.PublishMsgBatch(ctx, js, msgs, jetstreamext.BatchFlowControl{AckFirst: false})
	return err
}

// refused reports whether JetStream answered that it does not take the batch, as opposed to no answer.
func refused(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return true
	}
	var js jetstream.JetStreamError
	return errors.As(err, &js) && js.APIError() != nil
}

// publishSingly publishes in rounds, so that an aggregate's next event goes out only when the one
// before it is acknowledged; an aggregate whose event fails is left alone until the next attempt.
func publishSingly(ctx context.Context, js jetstream.JetStream, source string, rows []row) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	var (
		sent   = make([]row, 0, len(rows))
		failed = make(map[string]error)
		first  error
	)
	for len(rows) > 0 {
		var round, later []row
		in := make(map[string]bool, len(rows))
		for _, r := range rows {
			switch {
			case failed[r.AggregateID] != nil:
			case in[r.AggregateID]:
				later = append(later, r)
			default:
				in[r.AggregateID] = true
				round = append(round, r)
			}
		}
		errs := make([]error, len(round))
		var wg sync.WaitGroup
		slots := make(chan struct{}, parallel)
		for i, r := range round {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				_, errs[i] = js.PublishMsg(ctx, r.Msg(source), jetstream.WithExpectStream(StreamEvents))
			})
		}
		wg.Wait()
		for i, r := range round {
			if errs[i] != nil {
				failed[r.AggregateID] = errs[i]
				if first == nil {
					first = publishError(errs[i])
				}
				continue
			}
			sent = append(sent, r)
		}
		rows = later
	}
	return sent, first
}

func publishError(err error) error {
	if streamGone(err) || errors.Is(err, nats.ErrNoResponders) {
		return errors.Join(errStreamGone, err)
	}
	return err
}
