package service

import (
	"context"
	"slices"

	"souk/apps/product/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
)

func newVariantID() string { return id.New(id.Variant) }

// CreateProduct adds a product to a shop. Without a handle it gets one from its title.
//
// Its errors: invalid_argument, not_found for somebody else's shop and for an unknown category,
// already_exists for a handle or SKU that the shop has.
func (s *Service) CreateProduct(ctx context.Context, p domain.Product) (domain.Document, error) {
	shop, err := s.findShop(ctx, p.ShopID)
	if err != nil {
		return domain.Document{}, err
	}
	if err := s.mayManage(ctx, shop.ID, errNoShop); err != nil {
		return domain.Document{}, err
	}
	p.ShopID = shop.ID
	productID := id.New(id.Product)
	generated := p.Handle == ""
	if generated {
		p.Handle = domain.Handle(p.Title)
	}
	if p.Status == "" {
		p.Status = domain.Active
	}
	if err := p.Validate(); err != nil {
		return domain.Document{}, err
	}
	if err := s.knownCategory(ctx, p.CategoryID); err != nil {
		return domain.Document{}, err
	}
	err = s.add(ctx, p.Identify(productID, newVariantID), generated)
	if err != nil {
		return domain.Document{}, err
	}
	return s.store.Document(ctx, productID)
}

// add writes a new product; a generated handle that is taken gets a suffix.
func (s *Service) add(ctx context.Context, p domain.Product, generated bool) error {
	key := domain.HandleKey{ShopID: p.ShopID, Handle: p.Handle}
	wanted := domain.Wanted{Handles: []domain.HandleKey{key}, SKUs: skus(p)}
	return s.store.Change(ctx, []string{p.ShopID}, wanted, func(have domain.Snapshot) (domain.Changes, error) {
		if have.ByHandle[key] != nil {
			if !generated {
				return domain.Changes{}, errs.New(errs.AlreadyExists, "the shop already has a product with the handle %q", p.Handle)
			}
			p.Handle = key.Handle + "-" + p.ID[len(p.ID)-8:]
		}
		if err := freeSKUs(have, p); err != nil {
			return domain.Changes{}, err
		}
		return domain.Changes{Create: []domain.Product{p}}, nil
	})
}

func skus(p domain.Product) []domain.SKUKey {
	all := make([]domain.SKUKey, len(p.Variants))
	for i, v := range p.Variants {
		all[i] = domain.SKUKey{ShopID: p.ShopID, SKU: v.SKU}
	}
	return all
}

// freeSKUs fails with already_exists when another product of the shop has one of p's SKUs.
func freeSKUs(have domain.Snapshot, p domain.Product) error {
	for _, key := range skus(p) {
		if owner := have.SKUOwner[key]; owner != "" && owner != p.ID {
			return errs.New(errs.AlreadyExists, "the shop already has a product with the SKU %q", key.SKU)
		}
	}
	return nil
}

func (s *Service) knownCategory(ctx context.Context, categoryID string) error {
	if categoryID == "" {
		return nil
	}
	ok, err := false, error(nil)
	if storable(categoryID) {
		ok, err = s.store.CategoryExists(ctx, categoryID)
	}
	if err == nil && !ok {
		return errs.New(errs.NotFound, "there is no category %q", categoryID)
	}
	return err
}

// Patch says what is to change in a product; what is nil or empty stays.
type Patch struct {
	Title, Description, CategoryID, Status *string
	Images                                 []domain.Image
	Tags                                   []string
	Variants                               []domain.Variant
}

func (patch Patch) apply(p domain.Product) domain.Product {
	p.Variants = slices.Clone(p.Variants)
	for i := range p.Variants {
		p.Variants[i].OnHand = nil // stays as it is, whatever that is by then
	}
	if patch.Title != nil {
		p.Title = *patch.Title
	}
	if patch.Description != nil {
		p.Description = *patch.Description
	}
	if patch.CategoryID != nil {
		p.CategoryID = *patch.CategoryID
	}
	if patch.Status != nil {
		p.Status = domain.Status(*patch.Status)
	}
	if len(patch.Images) > 0 {
		p.Images = patch.Images
	}
	if len(patch.Tags) > 0 {
		p.Tags = patch.Tags
	}
	if len(patch.Variants) > 0 {
		p.Variants = patch.Variants
	}
	return p
}

func (s *Service) shopOfProduct(ctx context.Context, productID string) (string, error) {
	if !storable(productID) {
		return "", errNoProduct
	}
	return s.store.ShopOfProduct(ctx, productID)
}

// UpdateProduct changes a product.
//
// Its errors: invalid_argument, not_found for somebody else's product and for an unknown category,
// already_exists for a SKU that another product of the shop has, conflict when more pieces are reserved
// than would be on hand.
func (s *Service) UpdateProduct(ctx context.Context, productID string, patch Patch) (domain.Document, error) {
	shopID, err := s.shopOfProduct(ctx, productID)
	if err != nil {
		return domain.Document{}, err
	}
	if err := s.mayManage(ctx, shopID, errNoProduct); err != nil {
		return domain.Document{}, err
	}
	if patch.CategoryID != nil {
		if err := s.knownCategory(ctx, *patch.CategoryID); err != nil {
			return domain.Document{}, err
		}
	}
	wanted := domain.Wanted{IDs: []string{productID}, SKUs: skus(domain.Product{ShopID: shopID, Variants: patch.Variants})}
	err = s.store.Change(ctx, []string{shopID}, wanted, func(have domain.Snapshot) (domain.Changes, error) {
		old := have.ByID[productID]
		if old == nil {
			return domain.Changes{}, errNoProduct
		}
		next := patch.apply(*old)
		if err := next.Validate(); err != nil {
			return domain.Changes{}, err
		}
		if err := freeSKUs(have, next); err != nil {
			return domain.Changes{}, err
		}
		if old.SameContent(next) {
			return domain.Changes{}, nil
		}
		next, dropped := old.Merge(next, newVariantID)
		if sku := next.Overdrawn(); sku != "" {
			return domain.Changes{}, errs.New(errs.Conflict, "more pieces of %s are reserved by open orders than would be on hand", sku)
		}
		next.ImportHash = nil
		return domain.Changes{Update: []domain.Product{next}, DropVariants: dropped}, nil
	})
	if err != nil {
		return domain.Document{}, err
	}
	return s.store.Document(ctx, productID)
}

// DeleteProduct takes a product off sale for good. It fails with not_found for somebody else's product.
func (s *Service) DeleteProduct(ctx context.Context, productID string) error {
	shopID, err := s.shopOfProduct(ctx, productID)
	if err != nil {
		return err
	}
	if err := s.mayManage(ctx, shopID, errNoProduct); err != nil {
		return err
	}
	return s.store.Change(ctx, []string{shopID}, domain.Wanted{IDs: []string{productID}}, func(have domain.Snapshot) (domain.Changes, error) {
		if have.ByID[productID] == nil {
			return domain.Changes{}, errNoProduct
		}
		return domain.Changes{Delete: []string{productID}}, nil
	})
}

// SetStock sets how many pieces of a variant are on hand. Its errors: not_found for somebody else's
// variant, conflict when more are reserved.
func (s *Service) SetStock(ctx context.Context, variantID string, onHand int64) (domain.Stock, error) {
	noVariant := errs.New(errs.NotFound, "there is no such variant")
	if !storable(variantID) {
		return domain.Stock{}, noVariant
	}
	shopID, err := s.store.ShopOfVariant(ctx, variantID)
	if errs.Is(err, errs.NotFound) {
		return domain.Stock{}, noVariant
	} else if err != nil {
		return domain.Stock{}, err
	}
	if err := s.mayManage(ctx, shopID, noVariant); err != nil {
		return domain.Stock{}, err
	}
	return s.store.SetStock(ctx, variantID, onHand)
}
