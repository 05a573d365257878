package service

import (
	"context"
	"time"

	"souk/apps/product/internal/domain"
)

// Short returns the variants that have fewer available pieces than the lines want.
func (s *Service) Short(ctx context.Context, lines []domain.Line) ([]string, error) {
	merged, err := domain.Merge(lines)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(merged))
	for i, l := range merged {
		ids[i] = l.VariantID
	}
	offers, err := s.store.Offers(ctx, ids)
	if err != nil {
		return nil, err
	}
	pieces := make(map[string]int64, len(offers))
	for _, o := range offers {
		if o.ForSale {
			pieces[o.ID] = o.Pieces
		}
	}
	var short []string
	for _, l := range merged {
		if pieces[l.VariantID] < l.Quantity {
			short = append(short, l.VariantID)
		}
	}
	return short, nil
}

// Reserve holds stock for an order, all lines or none, for ttl (0: the default), and returns when that ends. A
// repeated call returns the same time.
//
// Errors: invalid_argument, out_of_stock (its fields name the variants), not_found (unknown variant), conflict
// (the order has reserved other lines, or its reservation is over).
func (s *Service) Reserve(
	ctx context.Context, orderID string, lines []domain.Line, ttl time.Duration,
) (time.Time, error) {
	if err := domain.Text("orderId", orderID); err != nil {
		return time.Time{}, err
	}
	merged, err := domain.Merge(lines)
	if err != nil {
		return time.Time{}, err
	}
	if ttl == 0 {
		ttl = s.reservationTTL
	}
	r, err := s.store.Apply(
		ctx,
		domain.Operation{
			Kind:    domain.Reserve,
			OrderID: orderID,
			Lines:   merged,
			Hash:    domain.RequestHash(merged),
			TTL:     ttl,
		},
	)
	if err != nil {
		return time.Time{}, err
	}
	return r.ExpiresAt, nil
}

// Release gives back the pieces of a reservation.
//
// Errors: invalid_argument, conflict (the pieces are sold).
func (s *Service) Release(ctx context.Context, orderID string) error {
	return s.apply(ctx, domain.Release, orderID)
}

// Commit makes a reservation a sale.
//
// Errors: invalid_argument, not_found, conflict (it was released), out_of_stock (it expired and its pieces are
// gone; a retry may succeed when stock comes in, so a caller that has taken the money asks an operator).
func (s *Service) Commit(ctx context.Context, orderID string) error {
	return s.apply(ctx, domain.Commit, orderID)
}

// Restock puts the pieces of a sale back: those of the variants, or all that are left if no variant is given.
//
// Errors: invalid_argument, not_found, conflict (nothing was sold).
func (s *Service) Restock(ctx context.Context, orderID string, variantIDs []string) error {
	if err := domain.Text("orderId", orderID); err != nil {
		return err
	}
	for _, variantID := range variantIDs {
		if err := domain.Text("variantIds", variantID); err != nil {
			return err
		}
	}
	op := domain.Operation{Kind: domain.Restock, OrderID: orderID, VariantIDs: variantIDs}
	_, err := s.store.Apply(ctx, op)
	return err
}

func (s *Service) apply(ctx context.Context, kind domain.Kind, orderID string) error {
	if err := domain.Text("orderId", orderID); err != nil {
		return err
	}
	_, err := s.store.Apply(ctx, domain.Operation{Kind: kind, OrderID: orderID})
	return err
}
