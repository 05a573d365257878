package outbox

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"souk/pkg/errs"
	"souk/pkg/event"
)

// Tail calls f for every new event on the subjects until ctx ends; without subjects it takes all events. It is for
// people who watch: it leaves no state in JetStream and retries nothing. Only one call of f runs at a time. Messages
// that are not events are skipped.
//
// Errors: unavailable (Tail cannot begin, or the connection to NATS was closed for good).
func Tail(ctx context.Context, js jetstream.JetStream, subjects []string, f func(event.Event)) error {
	if len(subjects) == 0 {
		subjects = []string{subjectsEvents}
	}
	cons, err := js.OrderedConsumer(ctx, StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: subjects,
		DeliverPolicy:  jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "the events cannot be followed").WithRetryAfter(time.Second)
	}
	running, err := cons.Consume(func(m jetstream.Msg) {
		if ctx.Err() != nil {
			return
		}
		if e, err := event.FromMsg(m.Subject(), m.Headers(), m.Data()); err == nil {
			f(e)
		}
	})
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "the events cannot be followed").WithRetryAfter(time.Second)
	}
	select {
	case <-ctx.Done():
		running.Stop()
		<-running.Closed()
		return nil
	case <-running.Closed():
		return errs.Wrap(nats.ErrConnectionClosed, errs.Unavailable, "the events cannot be followed any further")
	}
}
