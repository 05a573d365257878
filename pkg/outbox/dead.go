package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"souk/pkg/errs"
)

// Headers that a dead letter has in addition to its event's.
const (
	headerDeadConsumer = "souk-dead-consumer"
	headerDeadSubject  = "souk-dead-subject"
	headerDeadReason   = "souk-dead-reason"
	headerDeadAttempts = "souk-dead-attempts"
	headerDeadTime     = "souk-dead-time"

	// headerOnly names the only consumer that handles a replayed dead letter.
	headerOnly = "souk-only-consumer"
)

// maxReason is the maximum length of a reason, in bytes.
const maxReason = 1000

// Dead is a dead letter: an event that failed too often, or a message that is not an event.
type Dead struct {
	// Seq is the letter's sequence number in the stream DEAD.
	Seq uint64
	// Consumer is the durable name of the consumer that failed.
	Consumer string
	// Subject, EventID and AggregateID are those of the event. A message that is not an event may lack the last two.
	Subject, EventID, AggregateID string
	// Reason is the last error.
	Reason string
	// Attempts is the number of attempts.
	Attempts int
	// At is when it became a dead letter.
	At time.Time
	// Data is the event's payload.
	Data []byte
}

// DeadSubject returns the subject of dead letters of a durable consumer that got them on a subject.
func DeadSubject(durable, subject string) string { return prefixDead + durable + "." + subject }

// dead publishes an item's message as a dead letter and terminates its delivery. If JetStream does not take the
// letter, the item is sent back for redelivery.
func (c *Consumer) dead(ctx context.Context, it *item, cause error) {
	meta, err := it.msg.Metadata()
	if err != nil {
		return
	}
	h := nats.Header{}
	maps.Copy(h, it.msg.Headers())
	for k := range h {
		if strings.HasPrefix(k, "Nats-") {
			delete(h, k)
		}
	}
	attempts := max(it.attempts, 1)
	h.Set(headerDeadConsumer, c.name)
	h.Set(headerDeadSubject, it.msg.Subject())
	h.Set(headerDeadReason, reason(cause))
	h.Set(headerDeadAttempts, strconv.Itoa(attempts))
	h.Set(headerDeadTime, c.o.Clock.Now().Format(time.RFC3339Nano))
	delete(h, headerOnly)
	// Not the event's ID: an event that fails again after a replay is a new letter.
	h.Set(nats.MsgIdHdr, fmt.Sprintf("%s/%d/%d", c.name, it.seq, meta.Timestamp.UnixNano()))

	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	msg := &nats.Msg{Subject: DeadSubject(c.name, it.msg.Subject()), Header: h, Data: it.msg.Data()}
	if _, err := c.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(StreamDead)); err != nil {
		c.log.Error("a dead letter could not be written; the event comes again", zap.Error(err))
		c.nak(it, c.o.Backoff[len(c.o.Backoff)-1])
		return
	}
	c.log.Error("an event is given up; see souk events dlq", zap.String("event_id", it.event.ID),
		zap.String("subject", it.msg.Subject()), zap.Int("attempts", attempts), zap.Error(cause))
	c.metrics.dead.WithLabelValues(c.name).Inc()
	c.ack(it, func() error { return it.msg.TermWithReason("dead letter") }, outcomeDead)
}

// reason returns the error's text as one line that fits into a header.
func reason(err error) string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "�")), " ")
	if len(s) > maxReason {
		s = s[:maxReason]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}

// ListDead returns at most n dead letters, the newest first.
//
// Errors: unavailable.
func ListDead(ctx context.Context, js jetstream.JetStream, n int) ([]Dead, error) {
	stream, err := js.Stream(ctx, StreamDead)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
	}
	state := stream.CachedInfo().State
	var list []Dead
	for seq := state.LastSeq; seq >= state.FirstSeq && seq > 0 && len(list) < n; seq-- {
		m, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // replayed
		}
		if err != nil {
			return list, errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
		}
		list = append(list, letter(m))
	}
	return list, nil
}

func letter(m *jetstream.RawStreamMsg) Dead {
	attempts, _ := strconv.Atoi(m.Header.Get(headerDeadAttempts)) // 0 if it cannot be read
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerDeadTime))
	if err != nil {
		at = m.Time
	}
	return Dead{
		Seq:         m.Sequence,
		Consumer:    m.Header.Get(headerDeadConsumer),
		Subject:     m.Header.Get(headerDeadSubject),
		EventID:     m.Header.Get("ce-id"),
		AggregateID: m.Header.Get("ce-subject"),
		Reason:      m.Header.Get(headerDeadReason),
		Attempts:    attempts,
		At:          at,
		Data:        m.Data,
	}
}

// ReplayDead publishes a dead letter's event again, for the consumer that failed with it, and deletes the letter.
// Other consumers skip the event. If it fails again it becomes a new letter.
//
// Errors: not_found, unavailable.
func ReplayDead(ctx context.Context, js jetstream.JetStream, seq uint64) error {
	stream, err := js.Stream(ctx, StreamDead)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
	}
	var m *jetstream.RawStreamMsg
	if err == nil {
		m, err = stream.GetMsg(ctx, seq)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrMsgNotFound) {
		return errs.New(errs.NotFound, "there is no dead letter %d", seq)
	}
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
	}
	h := nats.Header{}
	for k, v := range m.Header {
		if !strings.HasPrefix(k, "Nats-") && !strings.HasPrefix(k, "souk-dead-") {
			h[k] = v
		}
	}
	h.Set(headerOnly, m.Header.Get(headerDeadConsumer))
	// A repeated replay is dropped as a duplicate.
	h.Set(nats.MsgIdHdr, fmt.Sprintf("dead/%d/%d", seq, m.Time.UnixNano()))
	msg := &nats.Msg{Subject: m.Header.Get(headerDeadSubject), Header: h, Data: m.Data}
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithExpectStream(StreamEvents)); err != nil {
		return errs.Wrap(err, errs.Unavailable, "JetStream does not take the event").WithRetryAfter(time.Second)
	}
	if err := stream.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return errs.Wrap(err, errs.Unavailable, "the letter was replayed, but could not be removed")
	}
	return nil
}
