package rpc

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"souk/pkg/errs"
)

// carrier lets the W3C propagator read and write a Header.
type carrier struct{ h *Header }

func (c carrier) Get(key string) string {
	switch key {
	case "traceparent":
		return c.h.Traceparent
	case "tracestate":
		return c.h.Tracestate
	}
	return ""
}

func (c carrier) Set(key, value string) {
	switch key {
	case "traceparent":
		c.h.Traceparent = value
	case "tracestate":
		c.h.Tracestate = value
	}
}

func (c carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// span starts a span if the trace of ctx is sampled. An unsampled trace costs nothing; its context is still
// propagated.
func span(ctx context.Context, tracer trace.Tracer, kind trace.SpanKind, m Method) (context.Context, trace.Span) {
	if tracer == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, nil
	}
	return tracer.Start(ctx, m.Service+"/"+m.Name, trace.WithSpanKind(kind), trace.WithAttributes(
		attribute.String("rpc.system.name", "souk"), attribute.String("rpc.method", m.Service+"/"+m.Name),
	))
}

func endSpan(s trace.Span, err *errs.Error) {
	if s == nil {
		return
	}
	if err != nil {
		s.SetAttributes(attribute.String("error.type", string(err.Code)))
		if isFailure(err.Code) {
			s.SetStatus(codes.Error, string(err.Code))
		}
	}
	s.End()
}

// isFailure reports whether the code is a failure of souk rather than a refusal.
func isFailure(c errs.Code) bool {
	switch c {
	case errs.Internal, errs.Unavailable, errs.Overloaded, errs.Timeout:
		return true
	default:
		return false
	}
}

func extract(ctx context.Context, h *Header) context.Context {
	if h.Traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, carrier{h})
}

func inject(ctx context.Context, h *Header) {
	propagation.TraceContext{}.Inject(ctx, carrier{h})
}
