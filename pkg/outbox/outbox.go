package outbox

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/pkg/audit"
	"souk/pkg/event"
	"souk/pkg/migration"
	"souk/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the tables outbox, inbox and inbox_attempt. Every service that publishes or consumes events has
// them in its own database.
func Migrations() migration.Set {
	return migration.Set{Name: "outbox", FS: migrations}
}

const (
	// Retain is the minimum retention of sent rows, and so how far back [Replay] reaches.
	Retain = 7 * 24 * time.Hour
	// RetainInbox is the retention of inbox rows. It must exceed every outbox's retention, or a replayed event
	// would have its effect twice.
	RetainInbox = 30 * 24 * time.Hour
)

// insert returns the statement that inserts events, whose columns are parameters from param on. Rows get their seq in
// the order of the arrays. The arrays are read through sub-selects, which hide their lengths from the planner.
// Otherwise it would make a new plan for each execution.
func insert(version, join string, param int) string {
	arrays := make([]string, len(columnTypes))
	for i, typ := range columnTypes {
		arrays[i] = fmt.Sprintf("(select $%d::%s[])", param+i, typ)
	}
	return `
insert into outbox (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload)
select e.id, e.subject, e.type, e.aggregate_id, ` + version + `, e.occurred_at, e.metadata::jsonb, e.payload
from unnest(` + strings.Join(arrays, ", ") + `)
     with ordinality as e (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload, n)
` + join + ` order by e.n`
}

// columnTypes are the types of the columns that values returns.
var columnTypes = []string{"text", "text", "text", "text", "bigint", "timestamptz", "text", "bytea"}

var sqlAppend = insert("e.aggregate_version", "", 1)

// WithEvents returns a statement that changes rows and appends the events of the changed ones. Change is a statement
// with a number of parameters that returns the ID of each changed aggregate as id and its version as version, and
// possibly more columns; the result is the same. The parameters of change are followed by [Columns]. Events of
// aggregates that change does not return are dropped, and an event gets its aggregate's version.
func WithEvents(change string, params int) string {
	return "with changed as (" + change + "), appended as (" +
		insert("c.version", "join changed c on c.id = e.aggregate_id", params+1) + ")\nselect * from changed"
}

// Append writes events to the outbox in the transaction of the change that they describe, in one round trip.
// Append an aggregate's events after its row is locked or updated, so that they have the order of its changes.
// Call [Relay.Wake] after the commit; otherwise the events wait up to half a second, for the relay's next poll.
//
// Errors: invalid_argument (an event is invalid), and those of [postgres.Err].
func Append(ctx context.Context, tx postgres.Execer, events ...event.Event) error {
	if len(events) == 0 {
		return nil
	}
	events = audit.Expand(events)
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, sqlAppend, Columns(events...)...)
	return postgres.Err(err)
}

// Queue is [Append] for a batch. All events that are queued in one batch are inserted by one statement
// (see [postgres.QueueRow]). An invalid event violates a constraint of the table, so the batch fails.
func Queue(b *pgx.Batch, events ...event.Event) {
	for _, e := range audit.Expand(events) {
		postgres.QueueRow(b, sqlAppend, values(e)...)
	}
}

// Columns returns events as arguments of a statement that [WithEvents] made.
func Columns(events ...event.Event) []any {
	if len(events) == 0 {
		return make([]any, len(columnTypes)) // null arrays have no rows
	}
	var rows postgres.Rows
	for _, e := range audit.Expand(events) {
		rows.Add(values(e)...)
	}
	return rows.Args()
}

func values(e event.Event) []any {
	metadata := []byte("{}")
	if len(e.Metadata) > 0 {
		metadata, _ = json.Marshal(e.Metadata) // a map of strings cannot fail
	}
	payload := e.Payload
	if payload == nil {
		payload = []byte{} // a message without fields; nil would become null
	}
	return []any{e.ID, e.Subject, e.Type, e.AggregateID, e.AggregateVersion, e.Time, string(metadata), payload}
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
