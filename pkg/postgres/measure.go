package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Observer records the duration of one round trip to the server. It is called by many goroutines.
type Observer interface{ Observe(seconds float64) }

// Measure returns a tracer that measures each statement and each batch, from its sending to its last row. The beginning
// and the end of a transaction are statements, too. The wait for a connection of the pool does not count.
func Measure(o Observer) pgx.QueryTracer { return measure{o} }

type measure struct{ observer Observer }

var (
	_ pgx.QueryTracer = measure{}
	_ pgx.BatchTracer = measure{}
)

// began is the context of a statement with the time at which it began. One value for both saves an allocation.
type began struct {
	context.Context
	at time.Time
}

type beganKey struct{}

// Value returns the context itself for its own key.
func (b *began) Value(key any) any {
	if key == (beganKey{}) {
		return b
	}
	return b.Context.Value(key)
}

func (m measure) end(ctx context.Context) {
	if b, ok := ctx.Value(beganKey{}).(*began); ok {
		m.observer.Observe(time.Since(b.at).Seconds())
	}
}

// TraceQueryStart notes the time.
func (m measure) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return &began{ctx, time.Now()}
}

// TraceQueryEnd records the duration.
func (m measure) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { m.end(ctx) }

// TraceBatchStart notes the time.
func (m measure) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return &began{ctx, time.Now()}
}

// TraceBatchQuery does nothing: a batch is one round trip.
func (measure) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd records the duration.
func (m measure) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) { m.end(ctx) }
