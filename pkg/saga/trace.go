package saga

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const traceparent = "traceparent"

// parentOf returns ctx's span context as a W3C traceparent, or "" if it has none.
func parentOf(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// withParent is the inverse of parentOf. With it, the steps of a saga join the trace of its start in any process.
func withParent(ctx context.Context, parent string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: parent})
}

// span starts a span if the saga's trace is sampled. The returned function ends it.
func (x *exec) span(ctx context.Context, name string) (context.Context, func(error)) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, func(error) {}
	}
	ctx, span := x.r.tracer.Start(ctx, name, trace.WithAttributes(attribute.String("saga.id", x.run.id),
		attribute.Int64("saga.epoch", x.run.epoch), attribute.Int("saga.attempt", x.attempts+1)))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, codeOf(err))
		}
		span.End()
	}
}
