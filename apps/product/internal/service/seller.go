package service

import (
	"context"
	"slices"

	"souk/apps/product/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
)

func newVariantID() string { return id.New(id.Variant) }

// CreateProduct adds a product to a shop. A product without a handle gets one from its title.
//
// Errors: invalid_argument, not_found (the shop is not the caller's, or the category is unknown),
// already_exists (the shop has the handle or a SKU).
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

// add writes a new product. A generated handle that is taken gets a suffix.
func (s *Service) add(ctx context.Context, p domain.Product, generated bool) error {
	key := domain.HandleKey{ShopID: p.ShopID, Handle: p.Handle}
	wanted := domain.Wanted{Handles: []domain.HandleKey{key}, SKUs: skus(p)}
	return s.store.Change(ctx, []string{p.ShopID}, wanted, func(have domain.Snapshot) (domain.Changes, error) {
		if have.ByHandle[key] != nil {
			if !generated {
				return domain.Changes{}, errs.New(errs.AlreadyExists,
					"the shop already has a product with the handle %q", p.Handle)
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

// freeSKUs returns an error if another product of the shop has one of p's SKUs.
//
// Errors: already_exists.
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

// Patch is a change of a product. Nil and empty fields stay as they are.
type Patch struct {
	Title, Description, CategoryID, Status *string
	Images                                 []domain.Image
	Tags                                   []string
	Variants                               []domain.Variant
}

func (patch Patch) apply(p domain.Product) domain.Product {
	p.Variants = slices.Clone(p.Variants)
	for i := range p.Variants {
		p.Variants[i].OnHand = nil // unset: the stock stays, whatever it is at the time of the write
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
// Errors: invalid_argument, not_found (the product is not the caller's, or the category is unknown),
// already_exists (another product of the shop has a SKU), conflict (more pieces are reserved than would be on
// hand).
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
	wanted := domain.Wanted{
		IDs:  []string{productID},
		SKUs: skus(domain.Product{ShopID: shopID, Variants: patch.Variants}),
	}
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
			return domain.Changes{}, errs.New(errs.Conflict,
				"more pieces of %s are reserved by open orders than would be on hand", sku)
		}
		next.ImportHash = nil
		return domain.Changes{Update: []domain.Product{next}, DropVariants: dropped}, nil
	})
	if err != nil {
		return domain.Document{}, err
	}
	return s.store.Document(ctx, productID)
}

// DeleteProduct takes a product off sale for good.
//
// Errors: not_found (also if the product is not the caller's).
func (s *Service) DeleteProduct(ctx context.Context, productID string) error {
	shopID, err := s.shopOfProduct(ctx, productID)
	if err != nil {
		return err
	}
	if err := s.mayManage(ctx, shopID, errNoProduct); err != nil {
		return err
	}
	return s.store.Change(
		ctx,
		[]string{shopID},
		domain.Wanted{IDs: []string{productID}},
		func(have domain.Snapshot) (domain.Changes, error) {
			if have.ByID[productID] == nil {
				return domain.Changes{}, errNoProduct
			}
			return domain.Changes{Delete: []string{productID}}, nil
		},
	)
}

// SetStock sets how many pieces of a variant are on hand.
//
// Errors: not_found (also if the variant is not the caller's), conflict (more are reserved).
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
