// Package audit notes who does something with a permission, and chains the notes so that none can be altered unnoticed.
//
// Package rpc records the call of a method that asks for a permission before the method runs, so that nothing is
// changed or shown without an entry. It also notes the caller in the context ([NewContext]). Each event of the change
// takes the note along, and package outbox writes a second event for it, evt.audit.recorded.SERVICE, in the same
// statement ([Expand]). So the trail also has what was changed if and only if the change is committed, and no service's
// code has to think of it. The audit service chains these events.
package audit

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	auditv1 "souk/gen/go/souk/audit/v1"
	"souk/pkg/event"
	"souk/pkg/id"
)

// SubjectCheckpointed is the subject of signed positions.
const SubjectCheckpointed = "evt.audit.checkpointed"

const recordedPrefix = "evt.audit.recorded."

// SubjectRecorded is the subject of the entries of a service. Each has its own, which no other service may publish to.
func SubjectRecorded(service string) string { return recordedPrefix + service }

// IsRecorded reports whether a subject is that of entries of some service.
func IsRecorded(subject string) bool { return strings.HasPrefix(subject, recordedPrefix) }

// Service returns the service whose method was called.
func (c Call) Service() string {
	service, _, _ := strings.Cut(c.Method, ".")
	return service
}

// The actions that are no events, and the result of what went well.
const (
	ActionRead   = "read"
	ActionCalled = "called" // a change begins
	ActionFailed = "failed"
	ResultOK     = "ok"
)

// metadata is where an event carries the note.
const metadata = "audit"

// Call is who calls which method, from where.
type Call struct {
	ActorKind  string   `json:"kind"`
	ActorID    string   `json:"actor"`
	Roles      []string `json:"roles,omitempty"`
	Permission string   `json:"permission"`
	// Method is SERVICE.METHOD, e.g. order.CancelOrder.
	Method    string `json:"method"`
	Address   string `json:"address,omitempty"`
	RequestID string `json:"request,omitempty"`
}

// NewContext returns a context whose events note the call.
func NewContext(ctx context.Context, c Call) context.Context {
	note, _ := json.Marshal(c) // cannot fail: all fields are texts
	return event.WithMetadata(ctx, metadata, string(note))
}

// NewEvent returns the event of a call itself: action is [ActionRead], [ActionCalled] or [ActionFailed].
//
// Errors: invalid_argument.
func NewEvent(c Call, action, object, result string, at time.Time) (event.Event, error) {
	// A list has no object, but each event has an aggregate.
	aggregate := object
	if aggregate == "" {
		aggregate = c.Method
	}
	// Without a context: the event is no change of the aggregate, and notes no call.
	return event.New(
		context.Background(),
		SubjectRecorded(c.Service()),
		aggregate,
		0,
		at,
		c.recorded(action, object, result),
	)
}

func (c Call) recorded(action, object, result string) *auditv1.Recorded {
	return &auditv1.Recorded{
		ActorKind: c.ActorKind, ActorId: c.ActorID, Roles: c.Roles, Permission: c.Permission,
		Method: c.Method, Action: action, Object: object, Result: result, Address: c.Address, RequestId: c.RequestID,
	}
}

// Expand takes the notes out of events, and adds the event of each behind it. It returns the same slice if there are
// none.
func Expand(events []event.Event) []event.Event {
	var out []event.Event
	for i, e := range events {
		note := e.Metadata[metadata]
		if note == "" || IsRecorded(e.Subject) {
			if out != nil {
				out = append(out, e)
			}
			continue
		}
		if out == nil {
			out = append(make([]event.Event, 0, 2*len(events)), events[:i]...)
		}
		var c Call
		_ = json.Unmarshal([]byte(note), &c) // NewContext wrote it
		out = append(out, e.Without(metadata), recordedOf(e, c))
	}
	if out == nil {
		return events
	}
	return out
}

// recordedOf returns the note's event. It has the aggregate of the event that carries it: a statement that appends
// events of changed aggregates only drops both or none.
func recordedOf(e event.Event, c Call) event.Event {
	action := strings.TrimPrefix(e.Subject, event.SubjectPrefix)
	m := c.recorded(action, e.AggregateID, ResultOK)
	payload, _ := proto.Marshal(m) // fails for texts that are not UTF-8 only, which JSON has mended
	r := e.Without(metadata)
	r.ID, r.Subject, r.Payload = id.New(id.Event), SubjectRecorded(c.Service()), payload
	r.Type = string(m.ProtoReflect().Descriptor().FullName())
	return r
}
