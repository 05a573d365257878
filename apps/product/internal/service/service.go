// Package service holds the operations on the catalogue and the stock, and checks who may call them.
package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"souk/apps/product/internal/domain"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/membership"
)

// Store keeps the catalogue, the stock and the read model.
type Store interface {
	Document(ctx context.Context, productID string) (domain.Document, error)
	Search(ctx context.Context, search domain.Search) (domain.Found, error)
	ShopProducts(
		ctx context.Context, shopID string, status domain.Status, before string, size int,
	) ([]domain.StockedDocument, error)
	Export(ctx context.Context, shopID, after string, size int) ([]domain.Exported, error)
	Offers(ctx context.Context, ids []string) ([]domain.Offer, error)
	CategoriesOf(ctx context.Context, productIDs []string) (map[string][]string, error)
	ProductByHandle(ctx context.Context, shop, handle string) (productID string, err error)
	ShopOfProduct(ctx context.Context, productID string) (string, error)
	OwnerOfVariant(ctx context.Context, variantID string) (productID, shopID string, err error)

	Categories(ctx context.Context) ([]domain.Category, error)
	CategoryExists(ctx context.Context, categoryID string) (bool, error)
	AddCategory(ctx context.Context, name, parentID string) (domain.Category, error)
	CategoriesByPath(ctx context.Context, paths [][]string, add bool) ([]string, error)

	Shops(ctx context.Context, ids, handles []string) ([]domain.Shop, error)
	SaveShop(ctx context.Context, shop domain.Shop) error

	Change(
		ctx context.Context, shopIDs []string, wanted domain.Wanted,
		decide func(domain.Snapshot) (domain.Changes, error),
	) error
	SetStock(ctx context.Context, variantID string, onHand int64) (domain.Stock, error)
	AdjustStock(ctx context.Context, a domain.Adjustment) (domain.Stock, error)
	Adjustments(ctx context.Context, variantID string) ([]domain.Adjustment, error)
	Apply(ctx context.Context, op domain.Operation) (*domain.Reservation, error)
}

// ShopClient is the part of the shop service that this service calls.
type ShopClient interface {
	CheckMembership(
		ctx context.Context, in *shopv1.CheckMembershipRequest, opts ...grpc.CallOption,
	) (*shopv1.CheckMembershipResponse, error)
	BatchGetShops(
		ctx context.Context, in *shopv1.BatchGetShopsRequest, opts ...grpc.CallOption,
	) (*shopv1.BatchGetShopsResponse, error)
}

// Service is the product service.
type Service struct {
	store Store
	shops ShopClient
	// reservationTTL is how long a reservation is held if its order gives no time.
	reservationTTL time.Duration
}

// New returns the service.
func New(store Store, shops ShopClient, reservationTTL time.Duration) *Service {
	return &Service{store: store, shops: shops, reservationTTL: reservationTTL}
}

// storable reports whether s can be an identifier. PostgreSQL stores no NUL, so no identifier has one.
func storable(s string) bool { return !strings.ContainsRune(s, 0) }

var errNoProduct = errs.New(errs.NotFound, "there is no such product")

// mayChange returns an error unless the caller has the method's permission in the shop, which must not be suspended, or
// in the whole marketplace.
//
// Errors: not_found (refusal), forbidden (the permission is missing, or the shop is suspended).
func (s *Service) mayChange(ctx context.Context, shopID string, refusal *errs.Error) error {
	in, err := membership.CheckKnown(ctx, s.shops, shopID, refusal)
	if err == nil && in.Status == domain.ShopSuspended && !in.Everywhere {
		return errs.New(
			errs.Forbidden,
			"the shop is suspended: its members fulfil what was ordered and change nothing else",
		)
	}
	return err
}

// mayManage returns an error unless the caller has the method's permission in the shop or in the whole marketplace.
//
// Errors: not_found (refusal, so that a stranger does not learn what exists), forbidden (the permission is missing).
func (s *Service) mayManage(ctx context.Context, shopID string, refusal *errs.Error) error {
	_, err := membership.CheckKnown(ctx, s.shops, shopID, refusal)
	return err
}

// Product returns a product. Only callers with the permission product.read in its shop see one that is not visible.
//
// Errors: not_found, forbidden (a member of the shop lacks the permission).
func (s *Service) Product(ctx context.Context, productID string) (domain.Document, error) {
	if !storable(productID) {
		return domain.Document{}, errNoProduct
	}
	d, err := s.store.Document(ctx, productID)
	if err != nil || d.Visible {
		return d, err
	}
	if err := s.mayManage(ctx, d.ShopID, errNoProduct); err != nil {
		return domain.Document{}, err
	}
	return d, nil
}

// ProductByHandle returns the ID of the product with a handle in a shop, which is given by ID or handle. The caller
// may not see the product.
//
// Errors: not_found.
func (s *Service) ProductByHandle(ctx context.Context, shop, handle string) (string, error) {
	return s.store.ProductByHandle(ctx, shop, domain.Normal(handle))
}

// Search finds products. The default order is by relevance if the query has text, else newest first.
//
// Errors: those of the store.
func (s *Service) Search(ctx context.Context, search domain.Search) (domain.Found, error) {
	if search.Sort == "" {
		search.Sort = domain.Newest
		if hasText(search.Query) {
			search.Sort = domain.Relevance
		}
	}
	if search.Sort == domain.Relevance && !hasText(search.Query) {
		search.Sort = domain.Newest
	}
	return s.store.Search(ctx, search)
}

// ShopProducts lists a shop's products with their stock, newest first, for callers with product.read.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) ShopProducts(
	ctx context.Context, shop string, status domain.Status, before string, size int,
) ([]domain.StockedDocument, error) {
	known, err := s.findShop(ctx, shop)
	if err != nil {
		return nil, err
	}
	if err := s.mayManage(ctx, known.ID, errNoShop); err != nil {
		return nil, err
	}
	return s.store.ShopProducts(ctx, known.ID, status, before, size)
}

// Export returns whole products in the order of their IDs.
func (s *Service) Export(ctx context.Context, after string, size int) ([]domain.Exported, error) {
	return s.store.Export(ctx, "", after, size)
}

// ExportShop returns whole products of a shop in the order of their IDs, for callers with product.read.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) ExportShop(ctx context.Context, shop, after string, size int) ([]domain.Exported, error) {
	known, err := s.findShop(ctx, shop)
	if err != nil {
		return nil, err
	}
	if err := s.mayManage(ctx, known.ID, errNoShop); err != nil {
		return nil, err
	}
	return s.store.Export(ctx, known.ID, after, size)
}

// Offers finds variants by ID. Unknown IDs are left out.
func (s *Service) Offers(ctx context.Context, ids []string) ([]domain.Offer, error) {
	return s.store.Offers(ctx,
		slices.DeleteFunc(slices.Clone(ids), func(variantID string) bool { return !storable(variantID) }))
}

// CategoriesOf returns the IDs of products' categories, from the root down, by the product's ID.
func (s *Service) CategoriesOf(ctx context.Context, productIDs []string) (map[string][]string, error) {
	return s.store.CategoriesOf(ctx, productIDs)
}

// Categories returns the category tree.
func (s *Service) Categories(ctx context.Context) ([]domain.Category, error) {
	return s.store.Categories(ctx)
}

// AddCategory adds a category.
//
// Errors: invalid_argument, not_found (the parent), already_exists.
func (s *Service) AddCategory(ctx context.Context, name, parentID string) (domain.Category, error) {
	if err := domain.CategoryName("name", name); err != nil {
		return domain.Category{}, err
	}
	if !storable(parentID) {
		return domain.Category{}, errs.New(errs.NotFound, "there is no such category")
	}
	return s.store.AddCategory(ctx, domain.Normal(name), parentID)
}
