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

// Filter says which sagas to list. The zero value lists the newest 100.
type Filter struct {
	// State, if set, is the only state listed.
	State State
	// Type, if set, is the only type listed.
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
	// ParkedFrom is the state that a parked saga goes back to.
	ParkedFrom State
	// Step is the next step to do, or to undo; as of the last checkpoint.
	Step int
	// Epoch counts how often the saga has changed hands.
	Epoch int64
	// Owner is the process that holds it; "" when nobody does.
	Owner                           string
	LeaseUntil, NextRunAt, Deadline time.Time
	Attempts                        int
	LastError                       string
	Code, Message                   string
	CreatedAt, UpdatedAt            time.Time
	// EndedAt is zero for one that has not ended.
	EndedAt time.Time
}

// Story is a saga with all that happened to it, as of its last checkpoint.
type Story struct {
	Info
	// Input is {} once the saga has ended: it may hold what nobody should keep.
	Input, Results json.RawMessage
	Steps          []StepInfo
}

// StepInfo is one line of a story: the tries of a step in a row by one owner.
type StepInfo struct {
	N     int
	Epoch int64
	// Kind is do or undo.
	Kind string
	Name string
	// Key is the idempotency key that participants know.
	Key string
	// State is done, undone, refused, or unknown.
	State                 string
	Attempts              int
	Code, Error           string
	StartedAt, FinishedAt time.Time
}

// List returns the newest sagas that match. It fails with errs.Unavailable.
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

// Show returns one saga with its story. It fails with errs.NotFound or errs.Unavailable.
func Show(ctx context.Context, db postgres.Querier, id string) (Story, error) {
	var s Story
	err := scanInfo(db.QueryRow(ctx, sqlShow, id), &s.Info, (*[]byte)(&s.Input), (*[]byte)(&s.Results))
	if errors.Is(err, pgx.ErrNoRows) {
		return Story{}, errs.New(errs.NotFound, "there is no such saga")
	}
	if err != nil {
		return Story{}, postgres.Err(err)
	}
	rows, err := db.Query(ctx, sqlStory, id)
	if err != nil {
		return Story{}, postgres.Err(err)
	}
	var epoch int64
	var records []record
	_, err = pgx.ForEachRow(rows, []any{&epoch, &records}, func() error {
		for _, r := range records {
			s.Steps = append(s.Steps, StepInfo{
				N: r.N, Epoch: epoch, Kind: r.Kind, Name: r.Name, Key: stepKey(id, r.Name), State: r.State, Attempts: r.Attempts,
				Code: r.Code, Error: r.Err, StartedAt: r.Started, FinishedAt: r.Finished,
			})
		}
		records = nil
		return nil
	})
	slices.SortStableFunc(s.Steps, func(a, b StepInfo) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), a.StartedAt.Compare(b.StartedAt), a.FinishedAt.Compare(b.FinishedAt))
	})
	return s, postgres.Err(err)
}

// Resume puts a parked saga back to where it was parked, to be claimed by the next runner that looks. It fails
// with errs.NotFound, errs.Conflict when the saga is not parked, or errs.Unavailable.
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
