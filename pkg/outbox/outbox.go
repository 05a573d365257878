package outbox

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/pkg/event"
	"souk/pkg/migration"
	"souk/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the tables outbox, inbox and inbox_attempt. Every service that publishes or consumes events has
// them in its own database.
func Migrations() migration.Set {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return migration.Set{Name: "outbox", FS: sub}
}

const (
	// Retain is the minimum retention of sent rows, and so how far back [Replay] reaches.
	Retain = 7 * 24 * time.Hour
	// RetainInbox is the retention of inbox rows. It must exceed every outbox's retention, or a replayed event
	// would have its effect twice.
	RetainInbox = 30 * 24 * time.Hour
)

// sqlAppend inserts any number of events; rows get their seq in the order of the arrays.
const sqlAppend = `
insert into outbox (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload)
select e.id, e.subject, e.type, e.aggregate_id, e.aggregate_version, e.occurred_at, e.metadata::jsonb, e.payload
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[], $8::bytea[])
     with ordinality as e (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload, n)
order by e.n`

// Append writes events to the outbox in the transaction of the change that they describe, in one round trip.
// Append an aggregate's events after its row is locked or updated, so that they have the order of its changes.
// Call [Relay.Wake] after the commit; otherwise the events wait up to half a second, for the relay's next poll.
//
// Errors: invalid_argument (an event is invalid), and those of [postgres.Err].
func Append(ctx context.Context, tx postgres.Execer, events ...event.Event) error {
	if len(events) == 0 {
		return nil
	}
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, sqlAppend, appendArgs(events)...)
	return postgres.Err(err)
}

// Queue is [Append] for a batch. All events that are queued in one batch are inserted by one statement
// (see [postgres.QueueRows]). An invalid event violates a constraint of the table, so the batch fails.
func Queue(b *pgx.Batch, events ...event.Event) {
	if len(events) > 0 {
		postgres.QueueRows(b, sqlAppend, appendArgs(events)...)
	}
}

func appendArgs(events []event.Event) []any {
	n := len(events)
	var (
		ids, subjects, types      = make([]string, n), make([]string, n), make([]string, n)
		aggregates, metadata      = make([]string, n), make([]string, n)
		versions, times, payloads = make([]int64, n), make([]time.Time, n), make([][]byte, n)
	)
	for i, e := range events {
		ids[i], subjects[i], types[i], aggregates[i] = e.ID, e.Subject, e.Type, e.AggregateID
		versions[i], times[i], payloads[i] = e.AggregateVersion, e.Time, e.Payload
		if payloads[i] == nil {
			payloads[i] = []byte{} // a message without fields; nil would become null
		}
		metadata[i] = "{}"
		if len(e.Metadata) > 0 {
			m, _ := json.Marshal(e.Metadata) // a map of strings cannot fail
			metadata[i] = string(m)
		}
	}
	return []any{ids, subjects, types, aggregates, versions, times, metadata, payloads}
}

// pruneBatch is the maximum number of rows that one statement deletes, so that no statement takes long.
const pruneBatch = 5000

const sqlPruneOutbox = `
delete from outbox where seq in (
    select seq from outbox where created_at < $1 and sent_at is not null limit $2)`

const sqlPruneInbox = `
delete from inbox where (consumer, event_id) in (
    select consumer, event_id from inbox where processed_at < $1 limit $2)`

// Prune deletes sent rows of the outbox that were written before the given time, and returns their number. Unsent
// rows stay, whatever their age. It does not enforce [Retain]; the relay, which calls it every hour, does.
//
// Errors: those of [postgres.Err].
func Prune(ctx context.Context, db postgres.Execer, before time.Time) (int64, error) {
	return prune(ctx, db, sqlPruneOutbox, before)
}

// PruneInbox deletes inbox rows of events that were handled before the given time, and returns their number. Every
// consumer calls it once an hour with [RetainInbox].
//
// Errors: those of [postgres.Err].
func PruneInbox(ctx context.Context, db postgres.Execer, before time.Time) (int64, error) {
	return prune(ctx, db, sqlPruneInbox, before)
}

func prune(ctx context.Context, db postgres.Execer, sql string, before time.Time) (int64, error) {
	var total int64
	for {
		tag, err := db.Exec(ctx, sql, before, pruneBatch)
		if err != nil {
			return total, postgres.Err(err)
		}
		total += tag.RowsAffected()
		if tag.RowsAffected() < pruneBatch {
			return total, nil
		}
	}
}
