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

// Migrations are the tables outbox and inbox. Every service that tells or hears events has them in its
// own database.
func Migrations() migration.Set {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return migration.Set{Name: "outbox", FS: sub}
}

const (
	// Retain is how long sent rows are kept at least, and so how far back [Replay] reaches.
	Retain = 7 * 24 * time.Hour
	// RetainInbox is how long consumers remember what they have done. It must exceed every outbox's
	// retention, or a replay would have an effect twice.
	RetainInbox = 30 * 24 * time.Hour
)

// sqlAppend takes any number of events; rows get their seq in the order of the arrays.
const sqlAppend = `
insert into outbox (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload)
select e.id, e.subject, e.type, e.aggregate_id, e.aggregate_version, e.occurred_at, e.metadata::jsonb, e.payload
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[], $8::bytea[])
     with ordinality as e (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload, n)
order by e.n`

// Append writes events within the transaction of the change that they tell of, in one round trip.
// Write an aggregate's events after its row is locked or updated: then they are in the order of its
// changes. Call [Relay.Wake] after the commit: without it they wait for the relay's next poll, up to half a second.
//
// Its errors: invalid_argument for an event that cannot travel; otherwise those of [postgres.Err].
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

// Queue is [Append] for a batch: the events go out with the batch's other statements, all of one batch together
// (see [postgres.QueueRows]). An event that cannot travel violates a constraint of the table, and the batch fails.
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
			payloads[i] = []byte{} // a message without fields; nil would be null
		}
		metadata[i] = "{}"
		if len(e.Metadata) > 0 {
			m, _ := json.Marshal(e.Metadata) // a map of strings always encodes
			metadata[i] = string(m)
		}
	}
	return []any{ids, subjects, types, aggregates, versions, times, metadata, payloads}
}

// pruneBatch bounds what one statement deletes, so that none holds the table's attention for long.
const pruneBatch = 5000

const sqlPruneOutbox = `
delete from outbox where seq in (
    select seq from outbox where created_at < $1 and sent_at is not null limit $2)`

const sqlPruneInbox = `
delete from inbox where (consumer, event_id) in (
    select consumer, event_id from inbox where processed_at < $1 limit $2)`

// Prune deletes rows of the outbox that were written before the time and have been sent, and returns how
// many. What was not sent stays, however old. It does not look at [Retain]: the relay, which calls it
// every hour, does.
func Prune(ctx context.Context, db postgres.Execer, before time.Time) (int64, error) {
	return prune(ctx, db, sqlPruneOutbox, before)
}

// PruneInbox deletes what consumers did before the time, and returns how many rows. Every consumer calls
// it each hour with [RetainInbox].
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
