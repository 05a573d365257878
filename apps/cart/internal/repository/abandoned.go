package repository

import (
	"context"
	_ "embed" // the statements below
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/cart/internal/domain"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/untouched_carts.sql
	untouchedCarts string
	//go:embed sql/mark_abandoned.sql
	markAbandonedSQL string

	markAbandoned = outbox.WithEvents(markAbandonedSQL, 2)
)

// Abandon marks at most limit carts of users as abandoned that have items and were last changed after from and not
// after until, and appends the event of each. A version of a cart is marked once. It returns the number of events.
//
// The backup names the carts, and Redis says which of them have changed since. The event of a cart that changes
// meanwhile names the version that was abandoned.
func (s *Store) Abandon(
	ctx context.Context, from, until time.Time, limit int, newEvent func(domain.Cart) (event.Event, error),
) (int, error) {
	rows, err := s.pool.Query(ctx, untouchedCarts, from, until, s.Clock.Now(), limit)
	if err != nil {
		return 0, postgres.Err(err)
	}
	saved, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c domain.Cart, err error) {
		return c, row.Scan(&c.OwnerID, &c.Version)
	})
	if err != nil || len(saved) == 0 {
		return 0, postgres.Err(err)
	}
	owners := make([]string, len(saved))
	for i, c := range saved {
		owners[i] = c.OwnerID
	}
	current, err := s.readAll(ctx, owners, 1)
	if err != nil {
		return 0, err
	}
	var marked postgres.Rows
	var events []event.Event
	for _, c := range saved {
		if current[c.OwnerID].cart.Version > c.Version { // its write-back will follow
			continue
		}
		e, err := newEvent(c)
		if err != nil {
			return 0, err
		}
		events = append(events, e)
		marked.Add(c.OwnerID, c.Version)
	}
	if len(events) == 0 {
		return 0, nil
	}
	_, err = s.pool.Exec(ctx, markAbandoned, append(marked.Args(), outbox.Columns(events...)...)...)
	return len(events), postgres.Err(err)
}
