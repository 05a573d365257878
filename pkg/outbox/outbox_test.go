package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/migration"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
)

func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	set := outbox.Migrations()
	require.NoError(t, migration.Up(t.Context(), url, set.Name, set.FS))
	require.NoError(t, migration.Down(t.Context(), url, set.Name, set.FS))
	require.NoError(t, migration.Up(t.Context(), url, set.Name, set.FS))
}

func TestRolledBackIsNeverToldCommittedIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	b.run(b.consumer(b.options("a")))

	err := postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		require.NoError(t, outbox.Append(t.Context(), tx, b.events("ord_x", 3)...))
		return errors.New("changed my mind")
	})
	require.Error(t, err)
	require.NoError(t, postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		return outbox.Append(t.Context(), tx, b.events("ord_y", 2)...)
	}))
	b.exactly("a", 2)
	require.Zero(t, b.count(`select count(*) from effect where aggregate_id = 'ord_x'`))
	require.EqualValues(t, 2, b.streamMessages())
}

func TestCommitOrderOtherThanSequenceOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	b.run(b.consumer(b.options("a")))

	early, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = early.Rollback(context.Background()) }()
	require.NoError(t, outbox.Append(t.Context(), early, b.event("ord_early", 1))) // the lower seq
	b.append(b.event("ord_late", 1))                                               // the higher seq, committed first
	b.exactly("a", 1)
	require.NoError(t, early.Commit(t.Context()))
	b.exactly("a", 2)
}

func TestQueueInBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := &pgx.Batch{}
	outbox.Queue(batch)
	outbox.Queue(batch, b.events("ord_1", 2)...)
	outbox.Queue(batch, b.event("ord_2", 1))
	require.NoError(t, postgres.SendBatch(t.Context(), b.pool, batch))
	require.Equal(t, 3, b.pending())

	bad := b.event("ord_3", 1)
	bad.Subject = "rpc.order"
	batch = &pgx.Batch{}
	outbox.Queue(batch, b.event("ord_4", 1))
	outbox.Queue(batch, bad)
	require.True(t, postgres.IsCheck(postgres.SendBatch(t.Context(), b.pool, batch), ""))
	require.Equal(t, 3, b.pending(), "the batch is undone as a whole")
	require.True(t, errs.Is(outbox.Append(t.Context(), b.pool, bad), errs.Invalid))
}

func TestWhatGoesInComesOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan event.Event, 1)
	o := b.options("a")
	o.Handler = func(_ context.Context, _ pgx.Tx, e event.Event) error { got <- e; return nil }
	b.run(b.relay())
	b.run(b.consumer(o))

	e := b.event("ord_ü", 7).With("request_id", `quote " and ünïcode 日本`).With("traceparent", "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01")
	e.Time = e.Time.Truncate(time.Microsecond) // what PostgreSQL keeps
	e.Payload = []byte(strings.Repeat("\x00\xff", 1000))
	b.append(e)
	out := <-got
	out.Time = out.Time.UTC()
	require.Equal(t, e, out)
}

func TestPrune(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(b.events("ord_old", 3)...)
	b.append(b.events("ord_new", 2)...)
	exec := func(sql string) {
		_, err := b.pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`update outbox set created_at = now() - interval '8 days' where aggregate_id = 'ord_old'`)
	exec(`update outbox set sent_at = now() where aggregate_version <> 3`) // the third is old and was never sent
	n, err := outbox.Prune(t.Context(), b.pool, time.Now().Add(-outbox.Retain))
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, 3, b.count(`select count(*) from outbox`))

	exec(`insert into inbox (consumer, event_id, processed_at) select 'a', g::text, now() - make_interval(days => g) from generate_series(1, 40) g`)
	n, err = outbox.PruneInbox(t.Context(), b.pool, time.Now().Add(-outbox.RetainInbox))
	require.NoError(t, err)
	require.EqualValues(t, 11, n)
}
