package event_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
)

var at = time.Date(2026, 11, 22, 20, 2, 36, 123456000, time.UTC)

func sampleSpan() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
	})
}

func TestEventSurvivesRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := trace.ContextWithSpanContext(context.Background(), sampleSpan())
	in, err := event.New(ctx, "evt.order.confirmed", "ord_1", 3, at,
		&orderv1.OrderConfirmed{OrderId: "ord_1", Number: "A-1"})
	require.NoError(t, err)
	in = in.With("request_id", "req-7")
	require.True(t, id.Valid(id.Event, in.ID))

	m := in.Msg("order")
	require.Equal(t, "1.0", m.Header["ce-specversion"][0])
	require.Equal(t, "souk.order.v1.OrderConfirmed", m.Header["ce-type"][0])
	require.Equal(t, "souk/order", m.Header["ce-source"][0])
	require.Equal(t, "ord_1", m.Header["ce-subject"][0])
	require.Equal(t, in.ID, m.Header[nats.MsgIdHdr][0])
	require.NotEmpty(t, m.Header["traceparent"])

	out, err := event.FromMsg(m.Subject, m.Header, m.Data)
	require.NoError(t, err)
	require.Equal(t, in, out)

	var got orderv1.OrderConfirmed
	require.NoError(t, out.Decode(&got))
	require.True(t, proto.Equal(&orderv1.OrderConfirmed{OrderId: "ord_1", Number: "A-1"}, &got))
	require.True(t, errs.Is(out.Decode(&orderv1.OrderCreated{}), errs.Invalid), "m has another type")

	back := trace.SpanContextFromContext(out.Context(context.Background()))
	require.Equal(t, sampleSpan().TraceID(), back.TraceID())
	require.True(t, back.IsSampled() && back.IsRemote())
}

func TestAnyEventSurvivesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := event.Event{
			ID:               id.New(id.Event),
			Subject:          "evt." + rapid.StringMatching(`[a-z]{1,8}\.[a-z_]{1,12}`).Draw(t, "subject"),
			Type:             rapid.StringMatching(`[a-z.]{1,20}`).Draw(t, "type"),
			AggregateID:      rapid.StringMatching(`[a-z0-9_]{1,40}`).Draw(t, "aggregate"),
			AggregateVersion: rapid.Int64().Draw(t, "version"),
			Time:             time.UnixMicro(rapid.Int64Range(0, 1<<51).Draw(t, "time")).UTC(),
			Payload:          rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "payload"),
		}
		if rapid.Bool().Draw(t, "meta") {
			in.Metadata = map[string]string{"request_id": rapid.StringMatching(`[a-zA-Z0-9-]{1,20}`).Draw(t, "request")}
		}
		m := in.Msg("any")
		out, err := event.FromMsg(m.Subject, m.Header, m.Data)
		require.NoError(t, err)
		require.Equal(t, in, out)
	})
}

func TestFromMsgRefusesInvalidMessages(t *testing.T) {
	t.Parallel()
	good := func() *nats.Msg {
		e, err := event.New(context.Background(), "evt.order.created", "ord_1", 1, at, &orderv1.OrderCreated{})
		require.NoError(t, err)
		return e.Msg("order")
	}
	for name, spoil := range map[string]func(*nats.Msg){
		"no headers":     func(m *nats.Msg) { m.Header = nil },
		"no ID":          func(m *nats.Msg) { delete(m.Header, "ce-id") },
		"other spec":     func(m *nats.Msg) { m.Header["ce-specversion"] = []string{"0.3"} },
		"bad time":       func(m *nats.Msg) { m.Header["ce-time"] = []string{"yesterday"} },
		"bad version":    func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"x"} },
		"no aggregate":   func(m *nats.Msg) { delete(m.Header, "ce-aggregateid"); delete(m.Header, "ce-subject") },
		"subject":        func(m *nats.Msg) { m.Subject = "rpc.order.v1" },
		"huge":           func(m *nats.Msg) { m.Data = make([]byte, event.MaxPayload+1) },
		"no type at all": func(m *nats.Msg) { m.Header["ce-type"] = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := good()
			spoil(m)
			_, err := event.FromMsg(m.Subject, m.Header, m.Data)
			require.True(t, errs.Is(err, errs.Invalid), "%v", err)
		})
	}
}

func TestValidSubjectAcceptsOnlyEventSubjects(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"evt.order.confirmed":                    true,
		"evt.order.v2.confirmed":                 true,
		"evt.order":                              false,
		"evt.order.*":                            false,
		"evt.order.>":                            false,
		"evt..x":                                 false,
		"evt.order.a b":                          false,
		"dlq.order.x":                            false,
		"":                                       false,
		"evt.o." + strings.Repeat("x", 200) + "": false,
	} {
		require.Equal(t, want, event.ValidSubject(s), s)
	}
}

func TestNewRefusesInvalidEvents(t *testing.T) {
	t.Parallel()
	_, err := event.New(context.Background(), "evt.order.>", "ord_1", 1, at, &orderv1.OrderCreated{})
	require.True(t, errs.Is(err, errs.Invalid))
	_, err = event.New(context.Background(), "evt.order.created", "", 1, at, &orderv1.OrderCreated{})
	require.True(t, errs.Is(err, errs.Invalid))
	_, err = event.New(context.Background(), "evt.order.created", "ord_1", 1, at,
		&orderv1.OrderCreated{OrderId: strings.Repeat("x", event.MaxPayload+1)})
	require.True(t, errs.Is(err, errs.Invalid))
	_, err = event.New(context.Background(), "evt.order.created", "ord_1", 1, at,
		&orderv1.OrderCreated{OrderId: "\xff"})
	require.True(t, errs.Is(err, errs.Invalid), "invalid UTF-8")
}
