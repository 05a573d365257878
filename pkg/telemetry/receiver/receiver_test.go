package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/telemetry/receiver"
)

func span(trace, id string, at int) receiver.Span {
	return receiver.Span{TraceID: trace, SpanID: id, Service: "order", Name: "n", Kind: "server", Status: "unset",
		Start: time.Unix(int64(at), 0).UTC(), DurationMs: 2, Attributes: map[string]any{}}
}

func get(t *testing.T, r *receiver.Recorder, path string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), into))
	return w.Code
}

func TestTracesAreShownOverHTTP(t *testing.T) {
	t.Parallel()
	r := receiver.NewRecorder(receiver.Options{})
	r.Add(span("aa", "2", 20), span("aa", "1", 10), span("bb", "1", 30), span("aa", "1", 10))
	var trace struct {
		TraceID string           `json:"traceId"`
		Spans   []map[string]any `json:"spans"`
	}
	require.Equal(t, http.StatusOK, get(t, r, "/dev/traces/AA", &trace))
	require.Equal(t, "aa", trace.TraceID)
	require.Len(t, trace.Spans, 2)
	require.Equal(t, "1", trace.Spans[0]["spanId"])
	require.Equal(t, "order", trace.Spans[0]["service"])
	var list struct {
		Traces []map[string]any `json:"traces"`
	}
	require.Equal(t, http.StatusOK, get(t, r, "/dev/traces", &list))
	require.Len(t, list.Traces, 2)
	require.Equal(t, "bb", list.Traces[0]["traceId"])
	require.InDelta(t, 10002, list.Traces[1]["durationMs"], 0)
	require.Equal(t, http.StatusNotFound, get(t, r, "/dev/traces/cc", &trace))
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	r := receiver.NewRecorder(receiver.Options{MaxTraces: 3, MaxSpans: 4, MaxTotal: 8})
	for trace := range 10 {
		for i := range 6 {
			r.Add(span(fmt.Sprint(trace), fmt.Sprint(i), i))
		}
	}
	traces := r.Traces()
	require.Len(t, traces, 2)
	require.Equal(t, "9", traces[0].TraceID)
	require.Len(t, traces[0].Spans, 4)
}

func TestWaitReturnsReceivedSpansWhenContextEnds(t *testing.T) {
	t.Parallel()
	r := receiver.NewRecorder(receiver.Options{})
	r.Add(span("aa", "1", 1))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	spans, err := r.Wait(ctx, "aa", func(s []receiver.Span) bool { return len(s) > 1 })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Len(t, spans, 1)
}

func TestInvalidExportsAreRefused(t *testing.T) {
	t.Parallel()
	r := receiver.NewRecorder(receiver.Options{})
	post := func(kind, body string) int {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader([]byte(body)))
		req.Header.Set("Content-Type", kind)
		r.ServeHTTP(w, req)
		return w.Code
	}
	require.Equal(t, http.StatusUnsupportedMediaType, post("text/plain", "x"))
	require.Equal(t, http.StatusBadRequest, post("application/json", "{"))
	require.Equal(t, http.StatusBadRequest, post("application/x-protobuf", strings.Repeat("\xff", 40)))
	require.Equal(t, http.StatusOK, post("application/json", `{"resourceSpans":[]}`))
	require.Empty(t, r.Traces())
}
