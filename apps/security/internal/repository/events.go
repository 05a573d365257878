package repository

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/security/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// Detect lets judge examine the sums that queries ask for, and the hours of all kinds. What it finds becomes a security
// event, or belongs to one. Announce makes the event of a security event that is new; these are returned.
//
// Errors: announce's, those of [postgres.Err].
func (s *Store) Detect(
	ctx context.Context, queries []domain.Query, now time.Time,
	judge func([]domain.Sum, []domain.Hours) []domain.Finding, announce func(domain.Event) (event.Event, error),
) (raised []domain.Event, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		sums, err := readSums(ctx, tx, queries)
		if err != nil {
			return err
		}
		hours, err := readHours(ctx, tx, now)
		if err != nil {
			return err
		}
		raised, err = raise(ctx, tx, judge(sums, hours), now, announce)
		return err
	})
	if err == nil && len(raised) > 0 {
		s.wake()
	}
	return raised, postgres.Err(err)
}

func readSums(ctx context.Context, tx pgx.Tx, queries []domain.Query) ([]domain.Sum, error) {
	kinds, since, least := make([]string, len(queries)), make([]time.Time, len(queries)), make([]int64, len(queries))
	for i, q := range queries {
		kinds[i], since[i], least[i] = string(q.Kind), q.Since, q.Least
	}
	rows, err := tx.Query(ctx, statement("sums"), kinds, since, least, mostSums)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[domain.Sum])
}

func readHours(ctx context.Context, tx pgx.Tx, now time.Time) ([]domain.Hours, error) {
	var kinds []string
	for _, k := range domain.Totals() {
		kinds = append(kinds, string(k))
	}
	rows, err := tx.Query(ctx, statement("hours"), kinds, now, domain.HistoryDays, domain.SpikeWindow)
	if err != nil {
		return nil, err
	}
	var out []domain.Hours
	var kind string
	var day int
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&kind, &day, &n}, func() error {
		if day == 0 {
			out = append(out, domain.Hours{Kind: domain.Kind(kind), Now: n})
			return nil
		}
		last := &out[len(out)-1]
		last.Before = append(last.Before, n)
		return nil
	})
	return out, err
}

// raise writes findings. Each belongs to the latest security event of its kind and subject, or is a new one. It returns
// the new ones.
func raise(
	ctx context.Context, tx pgx.Tx, findings []domain.Finding, now time.Time,
	announce func(domain.Event) (event.Event, error),
) ([]domain.Event, error) {
	if len(findings) == 0 {
		return nil, nil
	}
	if _, err := tx.Exec(ctx, statement("lock_events")); err != nil {
		return nil, err
	}
	var raised []domain.Event
	var events []event.Event
	for _, f := range findings {
		extended, err := extend(ctx, tx, f, now)
		if err != nil {
			return nil, err
		}
		if !extended {
			var begun int
			if err := tx.QueryRow(ctx, statement("begun_events"), f.Kind, now.Add(-time.Hour)).
				Scan(&begun); err != nil {
				return nil, err
			}
			if begun >= domain.MaxPerHour {
				f.Subject = domain.Others
				if extended, err = extend(ctx, tx, f, now); err != nil {
					return nil, err
				}
			}
		}
		if extended {
			continue
		}
		v := domain.NewEvent(f, now)
		if _, err := tx.Exec(ctx, statement("add_event"), values(v)...); err != nil {
			return nil, err
		}
		e, err := announce(v)
		if err != nil {
			return nil, err
		}
		raised, events = append(raised, v), append(events, e)
	}
	return raised, outbox.Append(ctx, tx, events...)
}

func extend(ctx context.Context, tx pgx.Tx, f domain.Finding, now time.Time) (bool, error) {
	tag, err := tx.Exec(
		ctx,
		statement("extend_event"),
		f.Kind,
		f.Subject,
		now.Add(-f.Quiet()),
		now,
		f.Count,
		f.Threshold,
	)
	return tag.RowsAffected() > 0, err
}

func values(v domain.Event) []any {
	countries := v.Countries
	if countries == nil {
		countries = []string{}
	}
	return []any{
		v.ID, v.Kind, v.Subject, v.Count, v.Threshold, int(v.Window / time.Second), countries, v.FirstAt, v.LastAt,
		v.Version, v.AcknowledgedAt, v.AcknowledgedBy, v.Note,
	}
}

// List returns at most limit security events from before an ID, newest first: those of a kind, about a subject, that
// nobody has acknowledged, or all.
//
// Errors: those of [postgres.Err].
func (s *Store) List(
	ctx context.Context, kind domain.Kind, subject string, open bool, before string, limit int,
) ([]domain.Event, error) {
	rows, err := s.pool.Query(ctx, statement("list_events"), before, kind, subject, open, limit)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out, err := pgx.CollectRows(rows, scan)
	return out, postgres.Err(err)
}

// Acknowledge locks a security event, lets f change it, stores it if f reports a change, and appends the event that
// announce makes of it.
//
// Errors: announce's, not_found.
func (s *Store) Acknowledge(
	ctx context.Context, eventID string, f func(*domain.Event) bool, announce func(domain.Event) (event.Event, error),
) (v domain.Event, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, statement("lock_event"), eventID)
		if err != nil {
			return err
		}
		v, err = pgx.CollectExactlyOneRow(rows, scan)
		if errors.Is(err, pgx.ErrNoRows) {
			return errs.New(errs.NotFound, "there is no such security event")
		}
		if err != nil || !f(&v) {
			return err
		}
		_, err = tx.Exec(
			ctx,
			statement("acknowledge_event"),
			v.ID,
			v.Version,
			v.AcknowledgedAt,
			v.AcknowledgedBy,
			v.Note,
		)
		if err != nil {
			return err
		}
		e, err := announce(v)
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, e)
	})
	if err == nil {
		s.wake()
	}
	return v, postgres.Err(err)
}

func scan(row pgx.CollectableRow) (v domain.Event, err error) {
	var seconds int
	err = row.Scan(&v.ID, &v.Kind, &v.Subject, &v.Count, &v.Threshold, &seconds, &v.Countries, &v.FirstAt, &v.LastAt,
		&v.Version, &v.AcknowledgedAt, &v.AcknowledgedBy, &v.Note)
	v.Window = time.Duration(seconds) * time.Second
	return v, err
}

// Open returns how many security events nobody has acknowledged, by kind.
//
// Errors: those of [postgres.Err].
func (s *Store) Open(ctx context.Context) (map[domain.Kind]int, error) {
	rows, err := s.pool.Query(ctx, statement("open_events"))
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := map[domain.Kind]int{}
	var kind domain.Kind
	var n int
	_, err = pgx.ForEachRow(rows, []any{&kind, &n}, func() error {
		out[kind] = n
		return nil
	})
	return out, postgres.Err(err)
}

// Forget deletes what is old: counts that no detector reads any more, reports, sightings, and security events that were
// found last longer than retain ago; 0: these stay. It returns the number of rows. A pass that deletes 5,000 rows or
// more of something may have left some.
//
// Errors: those of [postgres.Err].
func (s *Store) Forget(ctx context.Context, retain time.Duration, now time.Time) (int, error) {
	var kinds []string
	var before []time.Time
	for k, age := range domain.Ages() {
		kinds, before = append(kinds, string(k)), append(before, now.Add(-age))
	}
	old := map[string][]any{
		"forget_tallies":   {kinds, before, mostForget},
		"forget_totals":    {now.Add(-domain.TotalAge), mostForget},
		"forget_reports":   {now.Add(-2 * domain.ReportAge), mostForget},
		"forget_sightings": {now.Add(-domain.SightingAge), mostForget},
	}
	if retain > 0 {
		old["forget_events"] = []any{now.Add(-retain), mostForget}
	}
	n := 0
	for name, args := range old {
		tag, err := s.pool.Exec(ctx, statement(name), args...)
		if err != nil {
			return n, postgres.Err(err)
		}
		n += int(tag.RowsAffected())
	}
	return n, nil
}

// ForgetBatch is from how many rows on a pass of [Store.Forget] may have left some.
const ForgetBatch = mostForget
