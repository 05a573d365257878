// Package service implements the use cases of vouchers: managing them, and using them for orders.
package service

import (
	"context"
	"strings"
	"time"

	"souk/apps/voucher/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/membership"
	"souk/pkg/rpc"
	"souk/pkg/weblink"
)

// Store stores vouchers and their uses; see package repository.
type Store interface {
	Create(ctx context.Context, v domain.Voucher) error
	Get(ctx context.Context, voucherID string) (domain.Voucher, error)
	List(
		ctx context.Context, shopID string, status domain.Status, before string, limit int, at time.Time,
	) ([]domain.Voucher, error)
	Find(ctx context.Context, codes, shopIDs []string) ([]domain.Voucher, error)
	Update(
		ctx context.Context, voucherID string, f func(*domain.Voucher) (changed bool, err error),
	) (domain.Voucher, error)
	Usage(ctx context.Context, vouchers []domain.Voucher, c domain.Customer) (domain.Usage, error)
	Redeem(
		ctx context.Context, r domain.Redemption, at time.Time,
		newEvents func(context.Context, domain.Redemption, time.Time) ([]event.Event, error),
	) error
	Release(
		ctx context.Context, orderID string, at time.Time,
		newEvents func(context.Context, domain.Redemption, time.Time) ([]event.Event, error),
	) error
	Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error
}

// Deps are what the service is built from. All are required.
type Deps struct {
	Store Store
	Shops membership.Shops
	Clock clock.Clock
}

// Service implements the use cases. It is safe for concurrent use.
type Service struct{ Deps }

// New returns the service.
func New(d Deps) *Service { return &Service{Deps: d} }

// NewVoucher is a voucher to be created.
type NewVoucher struct {
	Code   string
	Kind   domain.Kind
	Change domain.Change
}

// CreateForShop creates a voucher of a shop, for callers with the permission. shop is its ID or handle.
//
// Errors: invalid_argument, not_found (also if the caller is a stranger to the shop), forbidden, already_exists (the
// code), conflict (too many).
func (s *Service) CreateForShop(ctx context.Context, shop string, n NewVoucher) (domain.Voucher, error) {
	shopID, err := s.shop(ctx, shop)
	if err != nil {
		return domain.Voucher{}, err
	}
	return s.create(ctx, shopID, n)
}

// Create creates a voucher of the marketplace.
//
// Errors: invalid_argument, already_exists (the code), conflict (too many).
func (s *Service) Create(ctx context.Context, n NewVoucher) (domain.Voucher, error) {
	return s.create(ctx, "", n)
}

func (s *Service) create(ctx context.Context, shopID string, n NewVoucher) (domain.Voucher, error) {
	if err := s.checkChange(ctx, n.Change); err != nil {
		return domain.Voucher{}, err
	}
	v, err := domain.New(shopID, n.Code, n.Kind, n.Change, s.Clock.Now())
	if err != nil {
		return domain.Voucher{}, err
	}
	return v, s.Store.Create(ctx, v)
}

// ListOfShop returns at most limit vouchers of a shop from before an ID, newest first, for callers with the permission.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) ListOfShop(
	ctx context.Context, shop string, status domain.Status, before string, limit int,
) ([]domain.Voucher, error) {
	shopID, err := s.shop(ctx, shop)
	if err != nil {
		return nil, err
	}
	return s.Store.List(ctx, shopID, status, before, limit, s.Clock.Now())
}

// List returns at most limit vouchers of the marketplace from before an ID, newest first.
func (s *Service) List(
	ctx context.Context, status domain.Status, before string, limit int,
) ([]domain.Voucher, error) {
	return s.Store.List(ctx, "", status, before, limit, s.Clock.Now())
}

// Get returns a voucher to callers who have the method's permission in its shop.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) Get(ctx context.Context, voucherID string) (domain.Voucher, error) {
	if !id.Valid(id.Voucher, voucherID) {
		return domain.Voucher{}, noVoucher()
	}
	v, err := s.Store.Get(ctx, voucherID)
	if err != nil || rpc.Permitted(ctx) {
		return v, err
	}
	if v.ShopID == "" {
		return domain.Voucher{}, noVoucher()
	}
	if _, err := membership.CheckKnown(ctx, s.Shops, v.ShopID, noVoucher()); err != nil {
		return domain.Voucher{}, err
	}
	return v, nil
}

// Update changes a voucher.
//
// Errors: invalid_argument, and those of Get.
func (s *Service) Update(ctx context.Context, voucherID string, c domain.Change) (domain.Voucher, error) {
	if _, err := s.Get(ctx, voucherID); err != nil { // a voucher never moves to another shop
		return domain.Voucher{}, err
	}
	if err := s.checkChange(ctx, c); err != nil {
		return domain.Voucher{}, err
	}
	return s.Store.Update(ctx, voucherID, func(v *domain.Voucher) (bool, error) { return v.Apply(c, s.Clock.Now()) })
}

// checkChange checks what only some callers may set, and what everybody reads.
//
// Errors: invalid_argument.
func (s *Service) checkChange(ctx context.Context, c domain.Change) error {
	if c.OperatorShare != nil && !rpc.Permitted(ctx) {
		return errs.InvalidField("operatorShare", "is set by operators: the shop bears the cost of its vouchers")
	}
	if c.Title == nil {
		return nil
	}
	switch title := *c.Title; {
	case strings.TrimSpace(title) == "":
		return errs.InvalidField("title", "must not be blank: customers read it")
	case strings.ContainsFunc(title, weblink.Reorders):
		return errs.InvalidField("title", "must not contain line breaks or other control characters")
	case weblink.In(title):
		return errs.InvalidField("title", "must not contain a web address")
	}
	return nil
}

// shop returns the ID of a shop in which the caller has the method's permission.
//
// Errors: not_found, forbidden.
func (s *Service) shop(ctx context.Context, shop string) (string, error) {
	in, err := membership.Check(ctx, s.Shops, shop, errs.New(errs.NotFound, "there is no such shop"))
	return in.ShopID, err
}

// Status returns the voucher's state now.
func (s *Service) Status(v domain.Voucher) domain.Status { return v.Status(s.Clock.Now()) }

func noVoucher() error { return errs.New(errs.NotFound, "there is no such voucher") }
