// Package service is the use cases of cart.
package service

import (
	"context"

	"go.uber.org/zap"

	"souk/apps/cart/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/money"
)

// Carts keeps carts. All methods may fail with unavailable and timeout.
type Carts interface {
	Get(ctx context.Context, owner string) (domain.Cart, error)
	Add(ctx context.Context, owner, variantID string, n int64, c money.Currency) (domain.Cart, error)
	Set(ctx context.Context, owner, variantID string, n int64) (domain.Cart, error)
	Clear(ctx context.Context, owner string) (domain.Cart, error)
	RemoveOrdered(ctx context.Context, owner, orderID string, lines []domain.Line) (domain.Cart, error)
	Merge(ctx context.Context, guest, user string) (ofUser, ofGuest domain.Cart, err error)
	// Save writes carts to the backup now, all or none.
	Save(ctx context.Context, owners ...string) error
}

// Offers tells what variants cost now.
type Offers interface {
	// Get returns the variants' offers in their order, nil for what is gone.
	Get(ctx context.Context, variantIDs []string) ([]*domain.Offer, error)
}

// Service is cart's use cases. It may be used by several goroutines.
type Service struct {
	carts    Carts
	offers   Offers
	currency money.Currency
	logger   *zap.Logger
}

// New returns a Service. currency is that of an empty cart's zero.
func New(carts Carts, offers Offers, currency money.Currency, logger *zap.Logger) *Service {
	return &Service{carts: carts, offers: offers, currency: currency, logger: logger}
}

// Get shows the caller's cart. unauthenticated, unavailable, timeout.
func (s *Service) Get(ctx context.Context) (domain.View, error) {
	return s.change(ctx, func(owner string) (domain.Cart, error) { return s.carts.Get(ctx, owner) })
}

// Add adds pieces of a variant to the caller's cart. not_found when it is not for sale, invalid_argument for
// a quantity that no line may have, unprocessable for one line too many or another currency; else as Get.
func (s *Service) Add(ctx context.Context, variantID string, n int64) (domain.View, error) {
	if err := domain.CheckAdd(n); err != nil {
		return domain.View{}, err
	}
	if !id.Valid(id.Variant, variantID) {
		return domain.View{}, domain.NotForSale()
	}
	return s.change(ctx, func(owner string) (domain.Cart, error) {
		offers, err := s.offers.Get(ctx, []string{variantID})
		if err != nil {
			return domain.Cart{}, err
		}
		if offers[0] == nil || !offers[0].ForSale {
			return domain.Cart{}, domain.NotForSale()
		}
		return s.carts.Add(ctx, owner, variantID, n, offers[0].Price.Currency())
	})
}

// Set sets how many pieces of a variant the caller's cart has; 0 removes it. not_found when it is not in the
// cart, invalid_argument for a quantity that no line may have; else as Get.
func (s *Service) Set(ctx context.Context, variantID string, n int64) (domain.View, error) {
	if err := domain.CheckSet(n); err != nil {
		return domain.View{}, err
	}
	if !id.Valid(id.Variant, variantID) {
		if n > 0 {
			return domain.View{}, domain.NotInCart()
		}
		return s.Get(ctx)
	}
	return s.change(ctx, func(owner string) (domain.Cart, error) { return s.carts.Set(ctx, owner, variantID, n) })
}

// Clear empties the caller's cart. Errors as Get.
func (s *Service) Clear(ctx context.Context) (domain.View, error) {
	return s.change(ctx, func(owner string) (domain.Cart, error) { return s.carts.Clear(ctx, owner) })
}

// change does something with the caller's cart and shows it.
func (s *Service) change(ctx context.Context, f func(owner string) (domain.Cart, error)) (domain.View, error) {
	caller := identity.FromContext(ctx)
	if !caller.IsUser() && !caller.IsGuest() {
		return domain.View{}, errs.New(errs.Unauthenticated, "sign in, or get a guest's token")
	}
	c, err := f(caller.ID)
	if err != nil {
		return domain.View{}, err
	}
	ids := make([]string, len(c.Lines))
	for i, l := range c.Lines {
		ids[i] = l.VariantID
	}
	offers, err := s.offers.Get(ctx, ids)
	if err != nil {
		return domain.View{}, err
	}
	return domain.Show(c, offers, s.currency)
}

// Lines returns what is in an owner's cart, for checkout. unavailable, timeout.
func (s *Service) Lines(ctx context.Context, owner string) ([]domain.Line, error) {
	c, err := s.carts.Get(ctx, owner)
	return c.Lines, err
}

// RemoveOrdered takes what was ordered out of an owner's cart, once an order; what was added since stays.
// invalid_argument for a line that orders nothing, unavailable, timeout.
func (s *Service) RemoveOrdered(ctx context.Context, owner, orderID string, lines []domain.Line) error {
	for _, l := range lines {
		if l.Quantity < 1 || !id.Valid(id.Variant, l.VariantID) {
			return errs.InvalidField("lines", "must name variants and have quantities of 1 or more")
		}
	}
	if !id.Valid(id.Order, orderID) {
		return errs.InvalidField("orderId", "must name an order")
	}
	_, err := s.carts.RemoveOrdered(ctx, owner, orderID, lines)
	return err
}

// Merge adds a guest's cart to a user's and empties it; again, it does nothing. unavailable, timeout.
func (s *Service) Merge(ctx context.Context, guest, user string) error {
	if _, _, err := s.carts.Merge(ctx, guest, user); err != nil {
		return err
	}
	// Both at once: a Redis lost between two write-backs would leave the pieces in both carts.
	if err := s.carts.Save(ctx, user, guest); err != nil {
		s.logger.Warn("merged carts not written back yet", zap.String("user_id", user), zap.Error(err))
	}
	return nil
}
