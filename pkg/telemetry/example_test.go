package telemetry_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"

	"souk/pkg/telemetry"
	"souk/pkg/telemetry/receiver"
)

func ExampleStart() {
	ctx := context.Background()
	recorder := receiver.NewRecorder(receiver.Options{})
	provider, err := telemetry.New(ctx, "order", telemetry.Config{SampleRatio: 1}, telemetry.WithExporter(recorder))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, span := telemetry.Start(ctx, provider.Tracer("order"), "checkout", attribute.Int("items", 2))
	telemetry.End(span, nil)
	if err := provider.Shutdown(ctx); err != nil {
		fmt.Println(err)
	}
	trace, _ := recorder.Trace(telemetry.TraceID(ctx))
	fmt.Println(trace.Spans[0].Service, trace.Spans[0].Name, trace.Spans[0].Attributes)
	// Output: order checkout map[items:2]
}
