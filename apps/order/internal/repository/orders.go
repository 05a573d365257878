package repository

import (
	"context"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/postgres"
)

// ByID returns an order. Concurrent callers share a statement.
//
// Errors: not_found.
func (s *Store) ByID(ctx context.Context, orderID string) (domain.Order, error) {
	o, err := s.byID.Submit(ctx, orderID)
	if err != nil {
		return domain.Order{}, err
	}
	return *o, s.decrypt(ctx, o)
}

func (s *Store) runByID(ctx context.Context, ids []string) ([]batch.Result[*domain.Order], error) {
	rows, err := s.q.ByIDs(ctx, ids)
	if err != nil {
		return nil, postgres.Err(err)
	}
	found := make(map[string][]sqlc.ByIDsRow, len(ids))
	for _, r := range rows {
		found[r.Order.ID] = append(found[r.Order.ID], r)
	}
	out := make([]batch.Result[*domain.Order], len(ids))
	for i, orderID := range ids {
		o, err := only(found[orderID]) // not shared by callers of the same order, who may change it
		out[i] = batch.Result[*domain.Order]{Value: &o, Err: err}
	}
	return out, nil
}

// Owned returns the customer's order.
//
// Errors: not_found (also for another customer's order).
func (s *Store) Owned(ctx context.Context, orderID, customerID string) (domain.Order, error) {
	rows, err := s.q.Owned(ctx, sqlc.OwnedParams{ID: orderID, CustomerID: customerID})
	if err != nil {
		return domain.Order{}, postgres.Err(err)
	}
	same := make([]sqlc.ByIDsRow, len(rows))
	for i, r := range rows {
		same[i] = sqlc.ByIDsRow(r)
	}
	o, err := only(same)
	if err != nil {
		return domain.Order{}, err
	}
	return o, s.decrypt(ctx, &o)
}

// History returns a page of the customer's orders, newest first, without refused checkouts.
func (s *Store) History(
	ctx context.Context, customerID string, after domain.Position, limit int,
) ([]domain.Order, error) {
	size := int32(limit) //nolint:gosec // a page is small
	arg := sqlc.HistoryParams{CustomerID: customerID, Before: after.At, BeforeID: after.ID, Page: size}
	rows, err := s.q.History(ctx, arg)
	if err != nil {
		return nil, postgres.Err(err)
	}
	same := make([]sqlc.ByIDsRow, len(rows))
	for i, r := range rows {
		same[i] = sqlc.ByIDsRow(r)
	}
	out, err := orders(same)
	if err != nil {
		return nil, err
	}
	return out, s.decrypt(ctx, pointers(out)...)
}

// ShopHistory returns a page of the shop's shop orders, newest first. It returns those with the status, or all that
// were ever confirmed if the status is "".
func (s *Store) ShopHistory(
	ctx context.Context, shopID string, status domain.Status, after domain.Position, limit int,
) ([]domain.ShopOrder, error) {
	rows, err := s.q.ShopHistory(ctx, sqlc.ShopHistoryParams{
		ShopID:   shopID,
		Status:   string(status),
		Before:   after.At,
		BeforeID: after.ID,
		Page:     int32(limit), //nolint:gosec // a page is small
	})
	if err != nil {
		return nil, postgres.Err(err)
	}
	same := make([]sqlc.ByIDsRow, len(rows))
	for i, r := range rows {
		same[i] = sqlc.ByIDsRow(r)
	}
	of, err := orders(same) // each with the shop's part only
	if err == nil {
		err = s.decrypt(ctx, pointers(of)...)
	}
	if err != nil {
		return nil, err
	}
	out := make([]domain.ShopOrder, len(of))
	for i := range of {
		out[i] = of[i].ForShop(of[i].Parts[0].ID)
	}
	return out, nil
}

func pointers(orders []domain.Order) []*domain.Order {
	out := make([]*domain.Order, len(orders))
	for i := range orders {
		out[i] = &orders[i]
	}
	return out
}
