package middleware

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"souk/pkg/card"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/logging"
	"souk/pkg/metric"
	"souk/pkg/telemetry"
)

// Recover answers a panic with 500 and logs its stack. If the answer has already begun, it cuts the
// connection, so that the client does not take a part for the whole.
func Recover(log *zap.Logger) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
					panic(v)
				}
				x := exchangeOf(w, r)
				log.Error("panic in a request", zap.String("request_id", x.RequestID),
					zap.String("panic", fmt.Sprint(v)), zap.ByteString("stack", debug.Stack()))
				x.Code = string(errs.Internal)
				if x.Wrote() {
					panic(http.ErrAbortHandler)
				}
				WriteProblem(w, r, errs.New(errs.Internal, "something went wrong on our side"))
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// RequestID uses the caller's X-Request-Id if it is valid, or else a new one, and sets it in the response.
func RequestID() Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchangeOf(w, r)
			if given := r.Header["X-Request-Id"]; len(given) == 1 && validRequestID(given[0]) {
				x.RequestID = given[0]
			} else {
				x.RequestID = newRequestID()
			}
			x.idHeader[0] = x.RequestID
			w.Header()["X-Request-Id"] = x.idHeader[:]
			next.ServeHTTP(w, r)
		})
	}
}

// newRequestID returns a unique ID. It is not a secret.
func newRequestID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64()) //nolint:gosec // not a secret
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64()) //nolint:gosec // not a secret
	var text [2 * len(b)]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}

func validRequestID(s string) bool {
	if len(s) < 8 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return !card.Contains(s) // it is logged
}

// traceparent reads only the header traceparent of a caller's trace. Its other header, tracestate, is free
// text and would be stored with events.
type traceparent struct{ propagation.HeaderCarrier }

// Get returns the header traceparent; any other key is empty.
func (t traceparent) Get(key string) string {
	if key != "traceparent" {
		return ""
	}
	return t.HeaderCarrier.Get(key)
}

// Trace joins the caller's trace (W3C traceparent) or begins one. Only sampled traces get a span.
func Trace(tracer trace.Tracer) Middleware {
	prop := propagation.TraceContext{}
	kind := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchangeOf(w, r)
			if _, has := r.Header["Traceparent"]; has {
				x.ctx = prop.Extract(x.ctx, traceparent{propagation.HeaderCarrier(r.Header)})
			}
			ctx, span := telemetry.StartSampled(x.ctx, tracer, "HTTP", kind...)
			x.ctx = ctx
			if span == nil {
				x.unnamed = true
				next.ServeHTTP(w, r)
				return
			}
			if sc := span.SpanContext(); sc.IsSampled() {
				x.traceID = sc.TraceID().String()
			}
			if !span.IsRecording() {
				next.ServeHTTP(w, r)
				return
			}
			defer func() {
				span.SetName(metric.Method(r.Method) + " " + x.Route)
				span.SetAttributes(attribute.String("http.request.method", metric.Method(r.Method)),
					attribute.String("http.route", x.Route), attribute.Int("http.response.status_code", x.Status()),
					attribute.String("souk.request_id", x.RequestID))
				if x.Status() >= http.StatusInternalServerError {
					span.SetStatus(codes.Error, x.Code)
				}
				span.End()
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// logFields holds the fields of one log line.
type logFields [12]zap.Field

// Record measures every request and writes its line to the access log: no query and no body.
//
// The client is the address that the request came from, as the rate limit sees it.
func Record(m *metric.HTTP, trusted []netip.Prefix, log *zap.Logger, c clock.Clock) Middleware {
	pool := &sync.Pool{New: func() any { return new(logFields) }}
	core, name := log.Core(), log.Name() // the logger itself would use its own clock
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchangeOf(w, r)
			defer func() { // also when the connection is cut
				now := c.Now()
				took := now.Sub(x.start)
				m.Observe(metric.Request{
					Method: r.Method, Route: x.Route, Status: x.status, Duration: took,
					RequestBytes: max(r.ContentLength, 0), ResponseBytes: x.bytes, TraceID: x.traceID,
				})
				level := zap.InfoLevel
				if x.status >= http.StatusInternalServerError {
					level = zap.WarnLevel
				}
				entry := core.Check(zapcore.Entry{Level: level, Time: now, LoggerName: name, Message: "request"}, nil)
				if entry == nil {
					return
				}
				fields := pool.Get().(*logFields) //nolint:forcetypeassert // nothing else is in the pool
				defer pool.Put(fields)
				line := append(
					fields[:0],
					logging.Plain(), // the request ID was checked, all else is ours
					zap.String("method", metric.Method(r.Method)),
					zap.String("route", x.Route),
					zap.Int("status", x.status),
					zap.Duration("seconds", took), // encoded in seconds
					zap.String("client", ClientAddress(r, trusted)),
					zap.Int64("bytes", x.bytes),
					zap.String("request_id", x.RequestID),
				)
				if x.Actor.ID != "" {
					line = append(line, zap.String("actor", x.Actor.ID))
				}
				if x.Code != "" {
					line = append(line, zap.String("code", x.Code))
				}
				if x.traceID != "" {
					line = append(line, zap.String("trace_id", x.traceID))
				}
				entry.Write(line...)
			}()
			next.ServeHTTP(w, r)
		})
	}
}
