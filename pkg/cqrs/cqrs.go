// Package cqrs declares read models.
//
// A service answers most questions from the tables and documents that it writes. A [Projection] is a read model: it is
// derived from something else, from events or from other tables of the service. Its declaration says what it shows,
// which consumers keep it up to date, and how it is rebuilt. A module lists its projections in module.Module. The
// command souk projections shows and rebuilds them.
//
// # Keeping up to date
//
// A projection changes in the transaction of what it shows, or it follows events through a durable consumer of package
// outbox, whose inbox makes each event count once. Events of different aggregates arrive in any order.
//
// # Rebuilding
//
// A rebuild works beside the projection that serves. Readers see the old rows until the new ones are committed: all of
// them at once, or one by one if each row is right by itself. Events that arrive meanwhile count once. For that, a
// rebuild either compares versions, or first locks the projection's rows against its consumers, and then reads what it
// derives them from. What a consumer has handled by then is part of that. What it handles later waits for the commit,
// and finds the new rows.
//
// # Commands and queries
//
// There are no handlers of commands and queries here. A method of a contract is a command or a query, and package rpc
// gives each method access, validation, traces and metrics: see docs/adr/0019-methods-are-commands-and-queries.md.
package cqrs

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/document"
	"souk/pkg/event"
	"souk/pkg/postgres"
)

// DB is where a service keeps its data.
type DB struct {
	// Pool is on the service's PostgreSQL database.
	Pool *pgxpool.Pool
	// Documents is the service's document store; nil if it keeps no documents.
	Documents *document.Store
}

// Projection is a read model. All fields are required, except Consumers and Source.
type Projection struct {
	// Name is unique within the service. Commands call the projection "{service}.{name}".
	Name string
	// Shows says in a few words what the projection shows.
	Shows string
	// Consumers are the purposes of the service's durable consumers that keep the projection up to date. Empty: it
	// changes in the transactions of what it shows.
	Consumers []string
	// Source is the service whose states a rebuild reads. "": the projection's own service has all that a rebuild
	// needs.
	Source string
	// Unit is what Rebuild counts, such as "products".
	Unit string
	// Rows returns the number of rows.
	Rows func(ctx context.Context, db DB) (int64, error)
	// Rebuild derives the projection again, whatever is wrong with it, and returns how many units it has. It may run
	// beside the service, at any time, and again after a failure. source is nil if Source is "".
	Rebuild func(ctx context.Context, db DB, source States) (int, error)
}

// States says what the aggregates of a service are now, so that another service can rebuild what it has derived from
// their events. It calls f with an event for each aggregate, in the aggregate's current version, and returns the number
// of aggregates. If it publishes these events instead, f is not called, and the events include those of known: the
// aggregates that the projection shows.
type States func(ctx context.Context, known []string, f func(event.Event) error) (int, error)

// Count returns a function that counts the rows of a table.
func Count(table string) func(context.Context, DB) (int64, error) {
	return func(ctx context.Context, db DB) (n int64, err error) {
		err = db.Pool.QueryRow(ctx, `select count(*) from `+table).Scan(&n)
		return n, postgres.Err(err)
	}
}
