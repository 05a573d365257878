package order

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

// UndoLost starts the saga that undoes what other services keep for an order that is not in db, the order service's
// database: it gives back money, stock and vouchers. UndoLost returns the saga's ID. A second call starts no second
// saga.
//
// Errors: unavailable.
func UndoLost(ctx context.Context, db postgres.Querier, orderID string) (string, error) {
	sagaID := "lost_" + orderID
	d := saga.Definition{Type: domain.UndoLostSaga, Version: domain.UndoLostVersion, Deadline: 24 * time.Hour}
	_, err := saga.Enqueue(ctx, db, d, sagaID, domain.LostOrder{OrderID: orderID})
	return sagaID, err
}
