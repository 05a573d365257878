// Package service implements the use cases of cart.
package service

import (
	"context"

	"go.uber.org/zap"

	"souk/apps/cart/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/money"
)

// Carts stores carts.
//
// Errors: unavailable, timeout.
type Carts interface {
	Get(ctx context.Context, owner string) (domain.Cart, error)
	Add(ctx context.Context, owner, variantID string, n int64, c money.Currency) (domain.Cart, error)
	Set(ctx context.Context, owner, variantID string, n int64) (domain.Cart, error)
	Clear(ctx context.Context, owner string) (domain.Cart, error)
	// Lines returns the owner's cart and the latest orders that have left it, at most most.
	Lines(ctx context.Context, owner string, most int) (domain.Cart, []string, error)
	RemoveOrdered(ctx context.Context, owner, orderID string, version int64, lines []domain.Line) (domain.Cart, error)
	Merge(ctx context.Context, guest, user string) (ofUser, ofGuest domain.Cart, err error)
	// Save writes carts to the backup immediately, all or none.
	Save(ctx context.Context, owners ...string) error
}

// Offers returns current offers of variants.
type Offers interface {
	// Get returns the variants' offers in their order; nil for a variant that is gone.
	Get(ctx context.Context, variantIDs []string) ([]*domain.Offer, error)
}

// Service implements cart's use cases. It is safe for concurrent use.
type Service struct {
	carts    Carts
	offers   Offers
	currency money.Currency
	clock    clock.Clock
	logger   *zap.Logger
}

// New returns a Service. currency is the currency of an empty cart's totals.
func New(carts Carts, offers Offers, currency money.Currency, c clock.Clock, logger *zap.Logger) *Service {
	return &Service{carts: carts, offers: offers, currency: currency, clock: c, logger: logger}
}

// Get returns the caller's cart.
//
// Errors: unauthenticated, unavailable, timeout.
func (s *Service) Get(ctx context.Context) (domain.View, error) {
	return s.change(ctx, func(owner string) (domain.Cart, error) { return s.carts.Get(ctx, owner) })
}

// Add adds n pieces of a variant to the caller's cart.
//
// Errors: those of Get, not_found (not for sale), invalid_argument (a quantity that a line may not have),
// unprocessable (one line too many, or another currency than the cart's).
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

// Set sets the quantity of a variant in the caller's cart; 0 removes the line.
//
// Errors: those of Get, not_found (not in the cart), invalid_argument (a quantity that a line may not have).
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

// Clear empties the caller's cart.
//
// Errors: those of Get.
func (s *Service) Clear(ctx context.Context) (domain.View, error) {
	return s.change(ctx, func(owner string) (domain.Cart, error) { return s.carts.Clear(ctx, owner) })
}

// change runs f for the caller's cart and returns the resulting cart with prices.
func (s *Service) change(ctx context.Context, f func(owner string) (domain.Cart, error)) (domain.View, error) {
	caller := identity.FromContext(ctx)
	if !caller.IsUser() && !caller.IsGuest() {
		return domain.View{}, errs.New(errs.Unauthenticated, "sign in, or get a guest's token")
	}
	c, err := f(caller.ID)
	if err != nil {
		return domain.View{}, err
	}
	return s.show(ctx, c)
}

// Unchanged returns a user's cart if it still has the version.
//
// Errors: not_found (it has changed), unavailable, timeout.
func (s *Service) Unchanged(ctx context.Context, userID string, version int64) (domain.View, error) {
	c, err := s.carts.Get(ctx, userID)
	if err != nil {
		return domain.View{}, err
	}
	if c.Version != version {
		return domain.View{}, errs.New(errs.NotFound, "the cart has changed")
	}
	return s.show(ctx, c)
}

// show returns a cart with prices.
func (s *Service) show(ctx context.Context, c domain.Cart) (domain.View, error) {
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

// shownOrders is the number of latest orders that a checkout gets with the cart.
const shownOrders = 8

// Lines returns an owner's cart, for a checkout, and the latest orders whose items were taken out of it.
//
// Errors: unavailable, timeout.
func (s *Service) Lines(ctx context.Context, owner string) (domain.Snapshot, error) {
	c, ordered, err := s.carts.Lines(ctx, owner, shownOrders)
	return domain.Snapshot{Cart: c, ClaimIDs: c.ClaimIDs(s.clock.Now()), OrderedIDs: ordered}, err
}

// RemoveOrdered removes the ordered pieces from an owner's cart, once per order. Pieces that were added since the
// checkout stay. version is the version of the cart that was ordered: if the cart was merged into a user's since, the
// pieces leave the user's cart.
//
// Errors: invalid_argument (the order or a line is invalid), unavailable, timeout.
func (s *Service) RemoveOrdered(
	ctx context.Context, owner, orderID string, version int64, lines []domain.Line,
) error {
	for _, l := range lines {
		if l.Quantity < 1 || !id.Valid(id.Variant, l.VariantID) {
			return errs.InvalidField("lines", "must name variants and have quantities of 1 or more")
		}
	}
	if !id.Valid(id.Order, orderID) {
		return errs.InvalidField("orderId", "must name an order")
	}
	_, err := s.carts.RemoveOrdered(ctx, owner, orderID, version, lines)
	return err
}

// Merge adds a guest's cart to a user's and empties the guest's. Repeating it has no effect.
//
// Errors: unavailable, timeout.
func (s *Service) Merge(ctx context.Context, guest, user string) error {
	if _, _, err := s.carts.Merge(ctx, guest, user); err != nil {
		return err
	}
	// Both carts are saved in one transaction: if Redis were lost between two write-backs, both carts would have
	// the pieces. A failure is not returned, because both carts stay dirty and a later write-back saves them.
	if err := s.carts.Save(ctx, user, guest); err != nil {
		s.logger.Warn("merged carts not written back yet", zap.String("user_id", user), zap.Error(err))
	}
	return nil
}
