package service

import (
	"context"
	"crypto/sha256"

	"souk/apps/product/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
)

var errNoVariant = errs.New(errs.NotFound, "there is no such variant")

// ownVariant returns the IDs of the product and shop of a variant if the caller may do with the shop what may says.
//
// Errors: not_found, may's.
func (s *Service) ownVariant(
	ctx context.Context, variantID string, may func(ctx context.Context, shopID string, refusal *errs.Error) error,
) (productID, shopID string, err error) {
	if !storable(variantID) {
		return "", "", errNoVariant
	}
	productID, shopID, err = s.store.OwnerOfVariant(ctx, variantID)
	if errs.Is(err, errs.NotFound) {
		err = errNoVariant
	}
	if err == nil {
		err = may(ctx, shopID, errNoVariant)
	}
	return productID, shopID, err
}

// SetStock sets how many pieces of a variant are on hand.
//
// Errors: not_found (also if the variant is not the caller's), forbidden (the shop is suspended), conflict (more are
// reserved).
func (s *Service) SetStock(ctx context.Context, variantID string, onHand int64) (domain.Stock, error) {
	if _, _, err := s.ownVariant(ctx, variantID, s.mayChange); err != nil {
		return domain.Stock{}, err
	}
	return s.store.SetStock(ctx, variantID, onHand)
}

// AdjustStock adds delta to the pieces of a variant that are on hand. A call with the key of an earlier one changes
// nothing; an empty key is none.
//
// Errors: invalid_argument, not_found (also if the variant is not the caller's), forbidden (the shop is suspended),
// conflict (more are reserved), idempotency_mismatch (the key is that of another adjustment).
func (s *Service) AdjustStock(
	ctx context.Context, variantID string, delta int64, reason, key string,
) (domain.Stock, error) {
	if err := domain.Text("reason", reason); err != nil {
		return domain.Stock{}, err
	}
	if _, _, err := s.ownVariant(ctx, variantID, s.mayChange); err != nil {
		return domain.Stock{}, err
	}
	actor := identity.FromContext(ctx)
	a := domain.Adjustment{
		ID: id.New(id.Adjustment), VariantID: variantID, Delta: delta, Reason: reason, By: actor.ID,
	}
	if key != "" {
		sum := sha256.Sum256([]byte(actor.ID + "\n" + key))
		a.Key = sum[:]
	}
	return s.store.AdjustStock(ctx, a)
}

// Adjustments returns the latest adjustments of a variant's stock, newest first.
//
// Errors: not_found (also if the variant is not the caller's).
func (s *Service) Adjustments(ctx context.Context, variantID string) ([]domain.Adjustment, error) {
	if _, _, err := s.ownVariant(ctx, variantID, s.mayManage); err != nil {
		return nil, err
	}
	return s.store.Adjustments(ctx, variantID)
}
