package outbox_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/event"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

const queueEffect = `
insert into effect (consumer, event_id, aggregate_id, version, lag)
select e.consumer, e.event_id, e.aggregate_id, e.version, 0
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as e (consumer, event_id, aggregate_id, version)`

// The queued statements of several events are one batch. If PostgreSQL refuses one event's, the others still take
// effect.
func TestQueuedEffectsShareStatement(t *testing.T) {
	t.Parallel()
	h := setup(t)
	o := h.options("a")
	o.Handler = nil
	o.Queue = func(_ context.Context, batch *pgx.Batch, e event.Event) error {
		postgres.QueueRow(batch, queueEffect, "a", e.ID, e.AggregateID, e.AggregateVersion)
		if e.AggregateID == "ord_poison" {
			batch.Queue("select 1 / 0")
		}
		return nil
	}
	for i := range 50 {
		h.append(h.event(aggregate(i), 1))
	}
	h.append(h.event("ord_poison", 1))
	h.run(h.relay())
	h.run(h.consumer(o))
	h.exactly("a", 50)
	waittest.Until(h.t, func() bool { return len(h.dead()) == 1 }, "the poison did not become a dead letter")
	require.Equal(t, "ord_poison", h.dead()[0].AggregateID)
}

func TestConsumerNeedsExactlyOneHandler(t *testing.T) {
	t.Parallel()
	h := setup(t)
	both, none := h.options("a"), h.options("b")
	both.Queue = func(context.Context, *pgx.Batch, event.Event) error { return nil }
	none.Handler = nil
	require.ErrorContains(t, h.consumer(both).Run(t.Context()), "has two")
	require.ErrorContains(t, h.consumer(none).Run(t.Context()), "lacks")
}
