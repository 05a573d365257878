// Package telemetrytest lets tests inspect the spans that a program exports.
package telemetrytest

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"souk/pkg/telemetry/receiver"
)

const timeout = 10 * time.Second

// Receiver is an OTLP/HTTP endpoint that is closed when the test ends.
type Receiver struct {
	*receiver.Recorder
	server *httptest.Server
}

// New starts a receiver.
func New(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{
		Recorder: receiver.NewRecorder(receiver.Options{MaxTraces: 10000, MaxSpans: 10000, MaxTotal: 100000}),
	}
	r.server = httptest.NewServer(r.Recorder)
	t.Cleanup(r.server.Close)
	return r
}

// URL returns the value for telemetry.Config.Endpoint.
func (r *Receiver) URL() string { return r.server.URL }

// WaitForTrace waits until pred holds for the spans of a trace, ordered by their start, and returns the spans. It
// fails the test after 10 s.
func (r *Receiver) WaitForTrace(t testing.TB, traceID string, pred func([]receiver.Span) bool) []receiver.Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	spans, err := r.Wait(ctx, traceID, pred)
	if err != nil {
		t.Fatalf("trace %s: still not as expected after %v: %d spans: %+v", traceID, timeout, len(spans), spans)
	}
	return spans
}
