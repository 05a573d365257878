package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/event"
	"souk/pkg/money"
	"souk/pkg/postgres"
)

// salesPage is the number of orders that one statement of a rebuild counts.
const salesPage = 1000

// CountSales counts what was sold and cancelled of the order that an event is about, as an [outbox.Queuer].
func (s *Store) CountSales(_ context.Context, b *pgx.Batch, e event.Event) error {
	postgres.QueueRow(b, s.sales, e.AggregateID)
	return nil
}

// RebuildSales counts all orders again, in one transaction, and returns their number. Readers see the old sales until
// then. No event is handled meanwhile. One that is handled later finds that its order was counted, or counts what has
// happened since.
func (s *Store) RebuildSales(ctx context.Context) (n int, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		n = 0
		q := s.q.WithTx(tx)
		if _, err := tx.Exec(ctx, statement("lock_sales")); err != nil {
			return postgres.Err(err)
		}
		if err := q.ForgetSales(ctx); err != nil {
			return postgres.Err(err)
		}
		for after := ""; ; {
			ids, err := q.ConfirmedOrders(ctx, sqlc.ConfirmedOrdersParams{After: after, Page: salesPage})
			if err != nil || len(ids) == 0 {
				return postgres.Err(err)
			}
			if _, err := tx.Exec(ctx, s.sales, ids); err != nil {
				return postgres.Err(err)
			}
			n += len(ids)
			after = ids[len(ids)-1]
		}
	})
	return n, err
}

// Sales returns what a shop sold on the days from first to last, by day and currency.
func (s *Store) Sales(ctx context.Context, shopID string, first, last time.Time) ([]domain.SalesDay, error) {
	rows, err := s.q.ShopSales(ctx, sqlc.ShopSalesParams{ShopID: shopID, FromDay: first, ToDay: last})
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make([]domain.SalesDay, len(rows))
	for i, r := range rows {
		c := money.Currency(r.Currency)
		out[i] = domain.SalesDay{
			Day: r.Day, Orders: r.Orders, Pieces: r.Pieces, Goods: money.New(r.Goods, c),
			Discounts: money.New(r.Discounts, c), Shipping: money.New(r.Shipping, c), Tax: money.New(r.Tax, c),
			CancelledOrders: r.CancelledOrders, Cancelled: money.New(r.CancelledTotal, c),
		}
	}
	return out, nil
}
