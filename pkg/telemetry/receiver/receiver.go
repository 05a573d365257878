// Package receiver receives spans: an OTLP/HTTP endpoint that keeps the latest traces in bounded
// memory and shows them as JSON.
//
// `souk dev` uses it to show traces, and tests use it to inspect spans.
package receiver

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Span is a finished span in the form that is shown.
type Span struct {
	TraceID      string         `json:"-"`
	SpanID       string         `json:"spanId"`
	ParentSpanID string         `json:"parentSpanId,omitempty"`
	Service      string         `json:"service"`
	Name         string         `json:"name"`
	Kind         string         `json:"kind"` // internal, server, client, producer, consumer
	Start        time.Time      `json:"start"`
	DurationMs   float64        `json:"durationMs"`
	Status       string         `json:"status"` // unset, ok, error
	Message      string         `json:"message,omitempty"`
	Attributes   map[string]any `json:"attributes"`
}

// Trace holds the received spans of one trace, ordered by their start.
type Trace struct {
	TraceID string `json:"traceId"`
	Spans   []Span `json:"spans"`
}

// Options bound a recorder.
type Options struct {
	// MaxTraces is how many traces are kept; the oldest are dropped first. Default: 500.
	MaxTraces int
	// MaxSpans is how many spans of one trace are kept. Default: 2000.
	MaxSpans int
	// MaxTotal is how many spans are kept in all. Default: 8000, about 5 MB.
	MaxTotal int
}

// Recorder keeps the latest traces. It is an sdktrace.SpanExporter and an http.Handler.
type Recorder struct {
	o Options

	mu      sync.Mutex
	traces  map[string]*kept
	order   []string // trace IDs by arrival of their first span
	total   int
	changed chan struct{} // closed and replaced when spans arrive
}

type kept struct {
	spans []Span
	seen  map[string]bool // span IDs, since an export may be repeated
}

// NewRecorder returns an empty recorder.
func NewRecorder(o Options) *Recorder {
	o.MaxTraces, o.MaxSpans, o.MaxTotal = cmp.Or(o.MaxTraces, 500), cmp.Or(o.MaxSpans, 2000), cmp.Or(o.MaxTotal, 8000)
	return &Recorder{o: o, traces: map[string]*kept{}, changed: make(chan struct{})}
}

// Add keeps the spans.
func (r *Recorder) Add(spans ...Span) {
	if len(spans) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range spans {
		k := r.traces[s.TraceID]
		if k == nil {
			k = &kept{seen: map[string]bool{}}
			r.traces[s.TraceID] = k
			r.order = append(r.order, s.TraceID)
		}
		if k.seen[s.SpanID] || len(k.spans) >= r.o.MaxSpans {
			continue
		}
		k.seen[s.SpanID] = true
		k.spans = append(k.spans, s)
		r.total++
	}
	for len(r.order) > 1 && (len(r.order) > r.o.MaxTraces || r.total > r.o.MaxTotal) {
		r.total -= len(r.traces[r.order[0]].spans)
		delete(r.traces, r.order[0])
		r.order = r.order[1:]
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Trace returns the received spans of a trace. It returns false if it has none.
func (r *Recorder) Trace(traceID string) (Trace, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.traceLocked(strings.ToLower(traceID))
}

func (r *Recorder) traceLocked(id string) (Trace, bool) {
	k, ok := r.traces[id]
	if !ok {
		return Trace{}, false
	}
	t := Trace{TraceID: id, Spans: slices.Clone(k.spans)}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return t, true
}

// Traces returns the traces that are kept, latest first.
func (r *Recorder) Traces() []Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Trace, 0, len(r.order))
	for _, id := range slices.Backward(r.order) {
		t, _ := r.traceLocked(id)
		out = append(out, t)
	}
	return out
}

// Wait waits until pred holds for the spans of a trace, ordered by their start, and returns them. If ctx
// ends first, it returns the spans received so far and the context's error.
func (r *Recorder) Wait(ctx context.Context, traceID string, pred func([]Span) bool) ([]Span, error) {
	for {
		r.mu.Lock()
		t, _ := r.traceLocked(strings.ToLower(traceID))
		changed := r.changed
		r.mu.Unlock()
		if pred(t.Spans) {
			return t.Spans, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return t.Spans, ctx.Err()
		}
	}
}

// ExportSpans keeps the spans of a provider in the same process.
func (r *Recorder) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	out := make([]Span, len(spans))
	for i, s := range spans {
		out[i] = fromSDK(s)
	}
	r.Add(out...)
	return nil
}

// Shutdown does nothing.
func (r *Recorder) Shutdown(context.Context) error { return nil }

func fromSDK(s sdktrace.ReadOnlySpan) Span {
	sc := s.SpanContext()
	out := Span{
		TraceID:    sc.TraceID().String(),
		SpanID:     sc.SpanID().String(),
		Name:       s.Name(),
		Kind:       s.SpanKind().String(),
		Start:      s.StartTime().UTC(),
		DurationMs: milliseconds(s.EndTime().Sub(s.StartTime())),
		Status:     strings.ToLower(s.Status().Code.String()),
		Message:    s.Status().Description,
		Attributes: attributes(s.Attributes()),
	}
	if s.Parent().HasSpanID() {
		out.ParentSpanID = s.Parent().SpanID().String()
	}
	if v, ok := s.Resource().Set().Value("service.name"); ok {
		out.Service = v.AsString()
	}
	return out
}

func attributes(attrs []attribute.KeyValue) map[string]any {
	m := make(map[string]any, len(attrs))
	for _, kv := range attrs {
		m[string(kv.Key)] = kv.Value.AsInterface()
	}
	return m
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func hexID(b []byte) string { return hex.EncodeToString(b) }
