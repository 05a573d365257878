package middleware

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"runtime/debug"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/metric"
	"souk/pkg/rpc"
)

// Recover answers a panic with 500 and logs its stack.
func Recover(log *zap.Logger) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler {
					panic(v)
				}
				x := From(r.Context())
				log.Error("panic in a request", zap.String("request_id", x.RequestID), zap.String("panic", fmt.Sprint(v)), zap.ByteString("stack", debug.Stack()))
				if !x.Wrote() {
					WriteProblem(w, r, errs.New(errs.Internal, "something went wrong on our side"))
				}
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// RequestID takes the caller's X-Request-Id when it is sane, or makes one, and shows it in the response.
func RequestID() Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rid := r.Header.Get("X-Request-Id")
			if !saneRequestID(rid) {
				var b [12]byte
				_, _ = rand.Read(b[:]) // never fails: crypto/rand
				rid = hex.EncodeToString(b[:])
			}
			From(r.Context()).RequestID = rid
			w.Header()["X-Request-Id"] = []string{rid}
			next.ServeHTTP(w, r.WithContext(rpc.WithRequestID(r.Context(), rid)))
		})
	}
}

func saneRequestID(s string) bool {
	if len(s) < 8 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Trace joins the caller's trace (W3C traceparent) or begins one. A span is made for sampled traces alone.
func Trace(tracer trace.Tracer) Middleware {
	prop := propagation.TraceContext{}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			if r.Header.Get("Traceparent") != "" {
				ctx = prop.Extract(ctx, propagation.HeaderCarrier(r.Header))
			}
			ctx, span := tracer.Start(ctx, "HTTP "+r.Method, trace.WithSpanKind(trace.SpanKindServer))
			next.ServeHTTP(w, r.WithContext(ctx))
			if span.IsRecording() {
				x := From(r.Context())
				span.SetName(r.Method + " " + x.Route)
				span.SetAttributes(
					attribute.String("http.request.method", r.Method),
					attribute.String("http.route", x.Route),
					attribute.Int("http.response.status_code", x.Status()),
					attribute.String("souk.request_id", x.RequestID),
				)
				if x.Status() >= http.StatusInternalServerError {
					span.SetStatus(codes.Error, x.Code)
				}
			}
			span.End()
		})
	}
}

// Metrics counts requests and measures how long they take and how large they are.
func Metrics(m *metric.HTTP, c clock.Clock) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := c.Now()
			next.ServeHTTP(w, r)
			x := From(r.Context())
			m.Observe(r.Method, x.Route, x.status, c.Now().Sub(start), max(r.ContentLength, 0), x.bytes)
		})
	}
}

// AccessLog writes one line a request: no query, no body, no personal data.
func AccessLog(log *zap.Logger, c clock.Clock) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := c.Now()
			next.ServeHTTP(w, r)
			x := From(r.Context())
			level := zap.InfoLevel
			if x.status >= http.StatusInternalServerError {
				level = zap.WarnLevel
			}
			entry := log.Check(level, "request")
			if entry == nil {
				return
			}
			fields := make([]zap.Field, 0, 9)
			fields = append(fields,
				zap.String("method", metric.Method(r.Method)), zap.String("route", x.Route), zap.Int("status", x.status),
				zap.Duration("took", c.Now().Sub(start)), zap.Int64("bytes", x.bytes),
				zap.String("request_id", x.RequestID), zap.String("actor", x.Actor.ID))
			if x.Code != "" {
				fields = append(fields, zap.String("code", x.Code))
			}
			if sc := trace.SpanContextFromContext(r.Context()); sc.IsSampled() {
				fields = append(fields, zap.String("trace_id", sc.TraceID().String()))
			}
			entry.Write(fields...)
		})
	}
}
