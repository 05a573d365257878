package repository

import (
	"github.com/jackc/pgx/v5"

	"souk/pkg/saga"
)

// AcceptStep returns a pivot that writes nothing but the saga's progress.
func (s *Store) AcceptStep(name string) saga.Step {
	return saga.Step{Name: name, Pivot: true, Batch: func(*saga.Run, *pgx.Batch) error { return nil }}
}

// LostStep returns a pivot that writes nothing but the saga's progress, and that is refused if there is an order with
// the ID that orderID returns.
func (s *Store) LostStep(name string, orderID func(*saga.Run) (string, error)) saga.Step {
	return saga.Step{Name: name, Pivot: true, Batch: func(r *saga.Run, b *pgx.Batch) error {
		lost, err := orderID(r)
		if err == nil {
			b.Queue(s.lost, lost)
		}
		return err
	}}
}
