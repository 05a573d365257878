//go:build !documents && !none

package sample

import (
	"context"
	_ "embed"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/page"
	"souk/pkg/postgres"
)

// Store stores gadgets in PostgreSQL.
type Store struct {
	pool *pgxpool.Pool
	wake func() // wakes the relay after new events
}

// NewStore returns the store.
func NewStore(pool *pgxpool.Pool, wake func()) *Store { return &Store{pool: pool, wake: wake} }

// write runs f in a transaction, appends the events that f returns, and wakes the relay.
func (s *Store) write(
	ctx context.Context, f func(pgx.Tx) ([]event.Event, error),
) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		events, err := f(tx)
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, events...)
	})
	if err != nil {
		return postgres.Err(err)
	}
	s.wake()
	return nil
}

// servicegen:each

var (
	//go:embed sql/create_gadget.sql
	createGadget string
	//go:embed sql/get_gadget.sql
	getGadget string
	//go:embed sql/lock_gadget.sql
	lockGadget string
	//go:embed sql/list_gadgets.sql
	listGadgets string
	//go:embed sql/update_gadget.sql
	updateGadget string
	//go:embed sql/delete_gadget.sql
	deleteGadget string
)

// CreateGadget stores a new gadget and appends the event.
func (s *Store) CreateGadget(ctx context.Context, v Gadget, e event.Event) error {
	return s.write(ctx, func(tx pgx.Tx) ([]event.Event, error) {
		_, err := tx.Exec(ctx, createGadget, v.ID, v.OwnerID, v.Name, v.Description, v.Version, v.CreatedAt,
			v.UpdatedAt)
		return []event.Event{e}, err
	})
}

// GetGadget returns a gadget of the owner.
//
// Errors: not_found.
func (s *Store) GetGadget(
	ctx context.Context, ownerID, gadgetID string,
) (Gadget, error) {
	return oneGadget(s.pool.Query(ctx, getGadget, gadgetID, ownerID))
}

// ListGadgets returns a page of the owner's gadgets, oldest first, and the token of the next page.
//
// Errors: invalid_argument (a made-up token).
func (s *Store) ListGadgets(
	ctx context.Context, ownerID string, size int32, token string,
) (gadgets []Gadget, next string, err error) {
	var after string
	if err := page.Decode(token, &after, "gadgets", ownerID); err != nil {
		return nil, "", err
	}
	limit := page.Size(size)
	// One more than the page shows whether there is a next one.
	rows, err := s.pool.Query(ctx, listGadgets, ownerID, after, limit+1)
	if err != nil {
		return nil, "", postgres.Err(err)
	}
	gadgets, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Gadget])
	if err != nil || len(gadgets) <= limit {
		return gadgets, "", postgres.Err(err)
	}
	return gadgets[:limit], page.Encode(gadgets[limit-1].ID, "gadgets", ownerID), nil
}

// UpdateGadget locks a gadget of the owner, lets f change it, stores it, and appends the events that f returns. If f
// returns no events, nothing is stored.
//
// Errors: f's, not_found.
func (s *Store) UpdateGadget(
	ctx context.Context, ownerID, gadgetID string, f func(*Gadget) ([]event.Event, error),
) (v Gadget, err error) {
	err = s.write(ctx, func(tx pgx.Tx) ([]event.Event, error) {
		if v, err = oneGadget(tx.Query(ctx, lockGadget, gadgetID, ownerID)); err != nil {
			return nil, err
		}
		events, err := f(&v)
		if err != nil || len(events) == 0 {
			return nil, err
		}
		_, err = tx.Exec(ctx, updateGadget, v.ID, v.OwnerID, v.Name, v.Description, v.Version, v.UpdatedAt)
		return events, err
	})
	return v, err
}

// DeleteGadget deletes a gadget of the owner and appends the events that f returns for it.
//
// Errors: f's, not_found.
func (s *Store) DeleteGadget(
	ctx context.Context, ownerID, gadgetID string, f func(Gadget) ([]event.Event, error),
) error {
	return s.write(ctx, func(tx pgx.Tx) ([]event.Event, error) {
		v, err := oneGadget(tx.Query(ctx, deleteGadget, gadgetID, ownerID))
		if err != nil {
			return nil, err
		}
		return f(v)
	})
}

func oneGadget(rows pgx.Rows, err error) (Gadget, error) {
	if err != nil {
		return Gadget{}, postgres.Err(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Gadget])
	if errors.Is(err, pgx.ErrNoRows) {
		return Gadget{}, errs.New(errs.NotFound, "there is no such gadget")
	}
	return v, postgres.Err(err)
}

// servicegen:end
