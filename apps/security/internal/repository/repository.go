// Package repository stores counts, sightings and security events in PostgreSQL.
package repository

import (
	"context"
	"embed"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/security/internal/domain"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

//go:embed sql/*.sql
var statements embed.FS

func statement(name string) string {
	b, err := statements.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // it is embedded above
	}
	return string(b)
}

// Store stores counts, sightings and security events.
type Store struct {
	pool *pgxpool.Pool
	wake func() // wakes the relay after new events

	subjects, totals string // the statements that count
}

// New returns the store.
func New(pool *pgxpool.Pool, wake func()) *Store {
	return &Store{pool: pool, wake: wake, subjects: statement("count_subjects"), totals: statement("count_totals")}
}

// queue queues the statements that count observations. Totals come first in every transaction, so that two cannot
// deadlock: what is counted from events, several in a batch, has totals always.
func (s *Store) queue(b *pgx.Batch, all []domain.Observation) {
	for _, o := range all {
		if slices.Contains(domain.Totals(), o.Kind) {
			postgres.QueueRow(b, s.totals, string(o.Kind), o.At.UTC().Truncate(domain.TotalSlot), o.Count)
		}
	}
	for _, o := range all {
		at := o.At.UTC()
		if o.Subject != "" {
			postgres.QueueRow(b, s.subjects, string(o.Kind), at.Truncate(domain.Slot), o.Subject, o.Count,
				int64(domain.MaxSubjects))
		}
	}
}

// Count returns an [outbox.Queuer] that counts what decode finds in an event.
func (s *Store) Count(decode func(event.Event) ([]domain.Observation, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		all, err := decode(e)
		if err != nil {
			return err
		}
		s.queue(b, all)
		return nil
	}
}

// Report counts the observations of a report and notes its sightings, unless that was done before. Judge compares each
// sighting with the one before, and announce makes the event of a security event that is new. It returns the security
// events that are new, and whether the report is.
//
// Errors: announce's, those of [postgres.Err].
func (s *Store) Report(
	ctx context.Context, r domain.Report, judge func(before, now domain.Sighting) (domain.Finding, bool),
	announce func(domain.Event) (event.Event, error),
) (raised []domain.Event, isNew bool, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		raised = nil
		tag, err := tx.Exec(ctx, statement("add_report"), r.ID, r.ReceivedAt)
		if isNew = err == nil && tag.RowsAffected() > 0; !isNew {
			return err
		}
		var b pgx.Batch
		s.queue(&b, r.Observations)
		if err := postgres.SendBatch(ctx, tx, &b); err != nil {
			return err
		}
		findings, err := see(ctx, tx, r.Sightings, judge)
		if err != nil {
			return err
		}
		raised, err = raise(ctx, tx, findings, r.ReceivedAt, announce)
		return err
	})
	if err == nil && len(raised) > 0 {
		s.wake()
	}
	return raised, isNew, postgres.Err(err)
}

// see notes sightings, and returns what judge finds. They are sorted by user, so that two transactions cannot deadlock.
func see(
	ctx context.Context, tx pgx.Tx, seen []domain.Sighting,
	judge func(before, now domain.Sighting) (domain.Finding, bool),
) ([]domain.Finding, error) {
	var findings []domain.Finding
	var b pgx.Batch
	for _, now := range seen {
		b.Queue(statement("see"), now.UserID, now.Country, now.At).Query(func(rows pgx.Rows) error {
			before := domain.Sighting{UserID: now.UserID}
			_, err := pgx.ForEachRow(rows, []any{&before.Country, &before.At}, func() error {
				if f, found := judge(before, now); found {
					findings = append(findings, f)
				}
				return nil
			})
			return err
		})
	}
	return findings, postgres.SendBatch(ctx, tx, &b)
}

// limits of what a pass of the detectors reads and of what a pass of [Store.Forget] deletes.
const (
	mostSums   = 200 // of a kind
	mostForget = 5000
)
