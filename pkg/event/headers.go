package event

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"souk/pkg/errs"
)

// Headers of an event: CloudEvents 1.0 in binary mode, souk's extensions for the aggregate, and W3C trace context
// under its own names.
const (
	headerSpecVersion = "ce-specversion"
	headerID          = "ce-id"
	headerType        = "ce-type"
	headerSource      = "ce-source"
	headerSubject     = "ce-subject" // the aggregate's ID
	headerTime        = "ce-time"
	headerAggregate   = "ce-aggregateid"
	headerVersion     = "ce-aggregateversion"
	headerContentType = "content-type"
	headerMeta        = "souk-meta-" // prefix of every other metadata entry

	traceparent = "traceparent"
	tracestate  = "tracestate"

	specVersion = "1.0"
	contentType = "application/protobuf"
)

// Msg returns e as a NATS message. Source is the publishing service.
func (e Event) Msg(source string) *nats.Msg {
	h := make(nats.Header, 11+len(e.Metadata))
	set := func(k, v string) { h[k] = []string{v} }
	set(nats.MsgIdHdr, e.ID)
	set(headerSpecVersion, specVersion)
	set(headerID, e.ID)
	set(headerType, e.Type)
	set(headerSource, "souk/"+source)
	set(headerSubject, e.AggregateID)
	set(headerTime, e.Time.UTC().Format(time.RFC3339Nano))
	set(headerAggregate, e.AggregateID)
	set(headerVersion, strconv.FormatInt(e.AggregateVersion, 10))
	set(headerContentType, contentType)
	for k, v := range e.Metadata {
		switch k {
		case traceparent, tracestate:
			set(k, v)
		default:
			set(headerMeta+k, v)
		}
	}
	return &nats.Msg{Subject: e.Subject, Header: h, Data: e.Payload}
}

// FromMsg decodes an event from a NATS message.
//
// Errors: invalid_argument (the message is not a valid event).
func FromMsg(subject string, h nats.Header, data []byte) (Event, error) {
	e := Event{
		ID:          first(h, headerID),
		Subject:     subject,
		Type:        first(h, headerType),
		AggregateID: first(h, headerAggregate),
		Payload:     data,
	}
	if e.AggregateID == "" {
		e.AggregateID = first(h, headerSubject)
	}
	if v := first(h, headerSpecVersion); v != specVersion {
		return Event{}, errs.InvalidField(headerSpecVersion, "%q, expected %s", v, specVersion)
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, first(h, headerTime)); err != nil {
		return Event{}, errs.InvalidField(headerTime, "not a time")
	}
	if v := first(h, headerVersion); v != "" {
		if e.AggregateVersion, err = strconv.ParseInt(v, 10, 64); err != nil {
			return Event{}, errs.InvalidField(headerVersion, "not a number")
		}
	}
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	for k, vs := range h {
		if len(vs) == 0 {
			continue
		}
		name, meta := strings.CutPrefix(k, headerMeta)
		if !meta && k != traceparent && k != tracestate {
			continue
		}
		if e.Metadata == nil {
			e.Metadata = make(map[string]string, 2)
		}
		e.Metadata[name] = vs[0]
	}
	return e, nil
}

func first(h nats.Header, k string) string {
	if vs := h[k]; len(vs) > 0 {
		return vs[0]
	}
	return ""
}
