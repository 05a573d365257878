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
	"souk/pkg/waittest"
)

func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	set := outbox.Migrations()
	require.NoError(t, migration.Up(t.Context(), url, set.Name, set.FS))
	require.NoError(t, migration.Down(t.Context(), url, set.Name, set.FS))
	require.NoError(t, migration.Up(t.Context(), url, set.Name, set.FS))
}

func TestOnlyCommittedEventsArePublished(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	h.run(h.consumer(h.options("a")))

	err := postgres.InTx(t.Context(), h.pool, func(tx pgx.Tx) error {
		require.NoError(t, outbox.Append(t.Context(), tx, h.events("ord_x", 3)...))
		return errors.New("changed my mind")
	})
	require.Error(t, err)
	require.NoError(t, postgres.InTx(t.Context(), h.pool, func(tx pgx.Tx) error {
		return outbox.Append(t.Context(), tx, h.events("ord_y", 2)...)
	}))
	h.exactly("a", 2)
	require.Zero(t, h.count(`select count(*) from effect where aggregate_id = 'ord_x'`))
	require.EqualValues(t, 2, h.streamMessages())
}

func TestLateCommitOfLowerSequenceIsPublished(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	h.run(h.consumer(h.options("a")))

	early, err := h.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = early.Rollback(context.Background()) }()
	require.NoError(t, outbox.Append(t.Context(), early, h.event("ord_early", 1))) // the lower seq
	h.append(h.event("ord_late", 1))                                               // the higher seq, committed first
	h.exactly("a", 1)
	require.NoError(t, early.Commit(t.Context()))
	h.exactly("a", 2)
}

func TestQueueInsertsEventsInBatch(t *testing.T) {
	t.Parallel()
	h := setup(t)
	batch := &pgx.Batch{}
	outbox.Queue(batch)
	outbox.Queue(batch, h.events("ord_1", 2)...)
	outbox.Queue(batch, h.event("ord_2", 1))
	require.NoError(t, postgres.SendBatch(t.Context(), h.pool, batch))
	require.Equal(t, 3, h.pending())

	bad := h.event("ord_3", 1)
	bad.Subject = "rpc.order"
	batch = &pgx.Batch{}
	outbox.Queue(batch, h.event("ord_4", 1))
	outbox.Queue(batch, bad)
	require.True(t, postgres.IsCheck(postgres.SendBatch(t.Context(), h.pool, batch), ""))
	require.Equal(t, 3, h.pending(), "the batch is undone as a whole")
	require.True(t, errs.Is(outbox.Append(t.Context(), h.pool, bad), errs.Invalid))
}

func TestEventArrivesUnchanged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	got := make(chan event.Event, 1)
	o := h.options("a")
	o.Handler = func(_ context.Context, _ pgx.Tx, e event.Event) error { got <- e; return nil }
	h.run(h.relay())
	h.run(h.consumer(o))

	e := h.event("ord_ü", 7).
		With("request_id", `quote " and ünïcode 日本`).
		With("traceparent", "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01")
	e.Time = e.Time.Truncate(time.Microsecond) // what PostgreSQL keeps
	e.Payload = []byte(strings.Repeat("\x00\xff", 1000))
	h.append(e)
	out := waittest.Receive(t, got)
	out.Time = out.Time.UTC()
	require.Equal(t, e, out)
}

func TestPruneDeletesOnlyOldSentRows(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.append(h.events("ord_old", 3)...)
	h.append(h.events("ord_new", 2)...)
	exec := func(sql string) {
		_, err := h.pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`update outbox set created_at = now() - interval '8 days' where aggregate_id = 'ord_old'`)
	exec(`update outbox set sent_at = now() where aggregate_version <> 3`) // the third event is old and unsent
	n, err := outbox.Prune(t.Context(), h.pool, time.Now().Add(-outbox.Retain))
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, 3, h.count(`select count(*) from outbox`))

	exec(
		`insert into inbox (consumer, event_id, processed_at) select 'a', g::text, now() - make_interval(days => g) from generate_series(1, 40) g`,
	)
	n, err = outbox.PruneInbox(t.Context(), h.pool, time.Now().Add(-outbox.RetainInbox))
	require.NoError(t, err)
	require.EqualValues(t, 11, n)
}
