package saga

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/pkg/errs"
	"souk/pkg/postgres"
)

// Filter selects sagas. The zero value selects the newest 100.
type Filter struct {
	// State restricts the list to one state, if set.
	State State
	// Type restricts the list to one type, if set.
	Type string
	// Limit bounds the list. 0 means 100.
	Limit int
}

// Info is a saga as operators see it.
type Info struct {
	ID      string
	Type    string
	Version int
	State   State
	// ParkedFrom is the state that a parked saga returns to when it is resumed.
	ParkedFrom State
	// Step is the next step to do or to undo, as of the last checkpoint.
	Step int
	// Epoch is the number of the current ownership. It starts at 1.
	Epoch int64
	// Owner is the process that holds the saga, or "".
	Owner                           string
	LeaseUntil, NextRunAt, Deadline time.Time
	Attempts                        int
	LastError                       string
	Code, Message                   string
	CreatedAt, UpdatedAt            time.Time
	// EndedAt is zero if the saga has not ended.
	EndedAt time.Time
}

// History is a saga with the record of its attempts, as of its last checkpoint.
type History struct {
	Info
	// Input is {} once the saga has ended, because it may contain data that must not be kept.
	Input, Results json.RawMessage
	Steps          []StepInfo
}

// StepInfo is one line of a history: consecutive attempts of a step by one owner.
type StepInfo struct {
	N     int
	Epoch int64
	// Kind is do or undo.
	Kind string
	Name string
	// Key is the idempotency key that participants get.
	Key string
	// State is done, undone, refused, or unknown.
	State                 string
	Attempts              int
	Code, Error           string
	StartedAt, FinishedAt time.Time
}

// List returns the newest sagas that match.
//
// Errors: unavailable.
func List(ctx context.Context, db postgres.Querier, f Filter) ([]Info, error) {
	rows, err := db.Query(ctx, sqlList, string(f.State), f.Type, cmp.Or(f.Limit, 100))
	if err != nil {
		return nil, postgres.Err(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Info, error) {
		var i Info
		return i, scanInfo(row, &i)
	})
	return list, postgres.Err(err)
}

// Show returns one saga with its history.
//
// Errors: not_found, unavailable.
func Show(ctx context.Context, db postgres.Querier, id string) (History, error) {
	var s History
	err := scanInfo(db.QueryRow(ctx, sqlShow, id), &s.Info, (*[]byte)(&s.Input), (*[]byte)(&s.Results))
	if errors.Is(err, pgx.ErrNoRows) {
		return History{}, errs.New(errs.NotFound, "there is no such saga")
	}
	if err != nil {
		return History{}, postgres.Err(err)
	}
	rows, err := db.Query(ctx, sqlHistory, id)
	if err != nil {
		return History{}, postgres.Err(err)
	}
	var epoch int64
	var records []record
	_, err = pgx.ForEachRow(rows, []any{&epoch, &records}, func() error {
		for _, r := range records {
			s.Steps = append(s.Steps, StepInfo{
				N:          r.N,
				Epoch:      epoch,
				Kind:       r.Kind,
				Name:       r.Name,
				Key:        stepKey(id, r.Name),
				State:      r.State,
				Attempts:   r.Attempts,
				Code:       r.Code,
				Error:      r.Err,
				StartedAt:  r.Started,
				FinishedAt: r.Finished,
			})
		}
		records = nil
		return nil
	})
	slices.SortStableFunc(s.Steps, func(a, b StepInfo) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), a.StartedAt.Compare(b.StartedAt),
			a.FinishedAt.Compare(b.FinishedAt))
	})
	return s, postgres.Err(err)
}

// Resume returns a parked saga to the state in which it was parked. The next runner that polls claims it.
//
// Errors: not_found, conflict (the saga is not parked), unavailable.
func Resume(ctx context.Context, db postgres.Querier, id string) error {
	tag, err := db.Exec(ctx, sqlResume, id)
	if err != nil {
		return postgres.Err(err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	s, err := Show(ctx, db, id)
	if err != nil {
		return err
	}
	return errs.New(errs.Conflict, "the saga is %s, not parked", s.State)
}

// Enqueue starts a saga from outside of its service, for a command that repairs something. The next runner that polls
// claims it; it must know the definition, of which only type, version and deadline are used. Enqueue returns false if
// there is a saga with the ID.
//
// Errors: internal (input that cannot be marshalled), unavailable.
func Enqueue(ctx context.Context, db postgres.Querier, d Definition, id string, input any) (bool, error) {
	in, err := json.Marshal(input)
	if err != nil {
		return false, errs.Wrap(err, errs.Internal, "the saga's input cannot be kept")
	}
	deadline := cmp.Or(d.Deadline, defaultDeadline)
	tag, err := db.Exec(ctx, sqlEnqueue, id, d.Type, d.Version, in, deadline.Seconds())
	if err != nil {
		return false, postgres.Err(err)
	}
	return tag.RowsAffected() == 1, nil
}

func scanInfo(row pgx.Row, i *Info, more ...any) error {
	var endedAt *time.Time
	err := row.Scan(append([]any{
		&i.ID, &i.Type, &i.Version, &i.State, &i.ParkedFrom, &i.Step, &i.Epoch, &i.Owner, &i.LeaseUntil, &i.NextRunAt,
		&i.Deadline, &i.Attempts, &i.LastError, &i.Code, &i.Message, &i.CreatedAt, &i.UpdatedAt, &endedAt,
	}, more...)...)
	if endedAt != nil {
		i.EndedAt = *endedAt
	}
	return err
}
