// Package event defines the events that souk's services publish: facts about aggregates.
//
// An [Event] is a protobuf message in an envelope. The envelope holds the aggregate's ID and version, the time
// of the event, and its trace context. On the wire the envelope is a set of CloudEvents headers in binary mode
// and the payload is the message's bytes; see [Event.Msg] and [FromMsg].
//
// Subjects are "evt.{domain}.{event}". They never share a prefix with calls ("rpc.…").
package event

import (
	"context"
	"maps"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	"souk/pkg/errs"
	"souk/pkg/id"
)

// SubjectPrefix is the prefix of every event's subject.
const SubjectPrefix = "evt."

// MaxPayload is the maximum length of a payload in bytes. It is well below NATS's limit (1 MiB), so that an
// event in an outbox can always be published.
const MaxPayload = 512 << 10

// Event is a fact about an aggregate that has happened.
type Event struct {
	// ID identifies the event ("evt_…"). Two messages with the same ID are the same event.
	ID string
	// Subject is "evt.{domain}.{event}", e.g. "evt.order.confirmed".
	Subject string
	// Type is the full name of the payload's message, e.g. "souk.order.v1.OrderConfirmed".
	Type string
	// AggregateID identifies the thing that the event is about. Events of one aggregate arrive in order.
	AggregateID string
	// AggregateVersion counts the aggregate's changes; 0: not versioned.
	AggregateVersion int64
	// Time is when the event happened.
	Time time.Time
	// Metadata is sent with the event: "traceparent" and "tracestate" as W3C defines them, "request_id", and others.
	Metadata map[string]string
	// Payload is the message in protobuf's binary form.
	Payload []byte
}

// New returns an event for a message, with a new ID. Its metadata holds the trace context of ctx.
//
// Errors: invalid_argument (the message cannot be encoded, or the event is invalid; see [Event.Validate]).
func New(
	ctx context.Context, subject, aggregateID string, version int64, at time.Time, m proto.Message,
) (Event, error) {
	payload, err := proto.Marshal(m)
	if err != nil {
		return Event{}, errs.Wrap(err, errs.Invalid, "event %s: its message cannot be encoded", subject)
	}
	meta := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, meta)
	if more, ok := ctx.Value(metadataKey{}).(entry); ok {
		meta[more.key] = more.value
	}
	e := Event{
		ID:               id.New(id.Event),
		Subject:          subject,
		Type:             string(m.ProtoReflect().Descriptor().FullName()),
		AggregateID:      aggregateID,
		AggregateVersion: version,
		Time:             at.UTC(),
		Metadata:         meta,
		Payload:          payload,
	}
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}

type metadataKey struct{}

type entry struct{ key, value string }

// WithMetadata returns a context with which [New] gives each event one more metadata entry, instead of that of an
// earlier call.
func WithMetadata(ctx context.Context, key, value string) context.Context {
	return context.WithValue(ctx, metadataKey{}, entry{key, value})
}

// Validate reports whether e can be published.
//
// Errors: invalid_argument (a required field is missing, the subject is invalid, or the payload exceeds
// [MaxPayload]).
func (e Event) Validate() error {
	switch {
	case e.ID == "":
		return errs.InvalidField("id", "an event has an ID")
	case !ValidSubject(e.Subject):
		return errs.InvalidField("subject", "%q is not of the form evt.{domain}.{event}", e.Subject)
	case e.Type == "":
		return errs.InvalidField("type", "an event has a type")
	case e.AggregateID == "":
		return errs.InvalidField("aggregateId", "an event is about something")
	case len(e.Payload) > MaxPayload:
		return errs.InvalidField("payload", "%d bytes are more than %d", len(e.Payload), MaxPayload)
	}
	return nil
}

// Decode decodes the payload into m.
//
// Errors: invalid_argument (m is of another type, or the payload is malformed).
func (e Event) Decode(m proto.Message) error {
	if name := string(m.ProtoReflect().Descriptor().FullName()); name != e.Type {
		return errs.New(errs.Invalid, "event %s is a %s, not a %s", e.ID, e.Type, name)
	}
	if err := proto.Unmarshal(e.Payload, m); err != nil {
		return errs.Wrap(err, errs.Invalid, "event %s cannot be read", e.ID)
	}
	return nil
}

// With returns a copy of e with one metadata entry set, e.g. With("request_id", …).
func (e Event) With(key, value string) Event {
	meta := make(map[string]string, len(e.Metadata)+1)
	maps.Copy(meta, e.Metadata)
	meta[key] = value
	e.Metadata = meta
	return e
}

// Without returns a copy of e without a metadata entry.
func (e Event) Without(key string) Event {
	meta := maps.Clone(e.Metadata)
	delete(meta, key)
	e.Metadata = meta
	return e
}

// Context returns ctx with the event's span context as its remote parent.
func (e Event) Context(ctx context.Context) context.Context {
	if e.Metadata[traceparent] == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(e.Metadata))
}

// ValidSubject reports whether s has the form "evt.{domain}.{event}". Each token consists of lower-case letters,
// digits, "_" and "-", so s contains no NATS wildcard.
func ValidSubject(s string) bool {
	rest, ok := strings.CutPrefix(s, SubjectPrefix)
	if !ok || len(s) > 200 || strings.Count(rest, ".") < 1 {
		return false
	}
	for token := range strings.SplitSeq(rest, ".") {
		if token == "" {
			return false
		}
		for _, c := range token {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
				return false
			}
		}
	}
	return true
}
