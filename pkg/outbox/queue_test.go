package outbox_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/event"
	"souk/pkg/postgres"
)

const queueEffect = `
insert into effect (consumer, event_id, aggregate_id, version, lag)
select e.consumer, e.event_id, e.aggregate_id, e.version, 0
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as e (consumer, event_id, aggregate_id, version)`

// What events queue goes out together, and one that PostgreSQL refuses takes no other with it.
func TestQueuedEffectsShareAStatement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.options("a")
	o.Handler = nil
	o.Queue = func(_ context.Context, batch *pgx.Batch, e event.Event) error {
		postgres.QueueRows(batch, queueEffect, []string{"a"}, []string{e.ID}, []string{e.AggregateID}, []int64{e.AggregateVersion})
		if e.AggregateID == "ord_poison" {
			batch.Queue("select 1 / 0")
		}
		return nil
	}
	for i := range 50 {
		b.append(b.event(aggregate(i), 1))
	}
	b.append(b.event("ord_poison", 1))
	b.run(b.relay())
	b.run(b.consumer(o))
	b.exactly("a", 50)
	b.eventually(func() bool { return len(b.dead()) == 1 }, "the poison is no dead letter")
	require.Equal(t, "ord_poison", b.dead()[0].AggregateID)
}

func TestAConsumerHasOneHandler(t *testing.T) {
	t.Parallel()
	b := setup(t)
	both, none := b.options("a"), b.options("b")
	both.Queue = func(context.Context, *pgx.Batch, event.Event) error { return nil }
	none.Handler = nil
	require.ErrorContains(t, b.consumer(both).Run(t.Context()), "has two")
	require.ErrorContains(t, b.consumer(none).Run(t.Context()), "lacks")
}
