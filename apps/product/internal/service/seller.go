package service

import (
	"context"

	"souk/apps/product/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
)

func newVariantID() string { return id.New(id.Variant) }

// CreateProduct adds a product to a shop. A product without a handle gets one from its title.
//
// Errors: invalid_argument, not_found (the shop is not the caller's, or the category is unknown),
// forbidden (the shop is suspended), already_exists (the shop has the handle or a SKU).
func (s *Service) CreateProduct(ctx context.Context, p domain.Product) (domain.Document, error) {
	shop, err := s.findShop(ctx, p.ShopID)
	if err != nil {
		return domain.Document{}, err
	}
	if err := s.mayChange(ctx, shop.ID, errNoShop); err != nil {
		return domain.Document{}, err
	}
	p.ShopID = shop.ID
	productID := id.New(id.Product)
	generated := p.Handle == ""
	if generated {
		p.Handle = domain.Handle(p.Title)
	}
	p = p.Identify(productID, newVariantID)
	if err := p.ValidateWhole(); err != nil {
		return domain.Document{}, err
	}
	if err := s.knownCategory(ctx, p.CategoryID); err != nil {
		return domain.Document{}, err
	}
	err = s.add(ctx, p, generated)
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
	all := make([]domain.SKUKey, 0, len(p.Variants))
	for _, v := range p.Variants {
		if v.SKU != "" {
			all = append(all, domain.SKUKey{ShopID: p.ShopID, SKU: v.SKU})
		}
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

func (s *Service) shopOfProduct(ctx context.Context, productID string) (string, error) {
	if !storable(productID) {
		return "", errNoProduct
	}
	return s.store.ShopOfProduct(ctx, productID)
}

// UpdateProduct changes a product to next, as far as edit says.
//
// Errors: invalid_argument, not_found (the product is not the caller's, or the category is unknown),
// forbidden (the shop is suspended), already_exists (another product of the shop has a SKU), conflict (more pieces are reserved than would be on
// hand).
func (s *Service) UpdateProduct(
	ctx context.Context, productID string, next domain.Product, edit domain.Edit,
) (domain.Document, error) {
	shopID, err := s.shopOfProduct(ctx, productID)
	if err != nil {
		return domain.Document{}, err
	}
	if err := s.mayChange(ctx, shopID, errNoProduct); err != nil {
		return domain.Document{}, err
	}
	if err := s.knownCategory(ctx, next.CategoryID); err != nil {
		return domain.Document{}, err
	}
	next.ShopID = shopID
	err = s.change(ctx, shopID, productID, skus(next), func(old domain.Product) (domain.Product, []string, error) {
		merged, dropped := old.Merge(next, edit, newVariantID)
		return merged, dropped, nil
	})
	if err != nil {
		return domain.Document{}, err
	}
	return s.store.Document(ctx, productID)
}

// change replaces a shop's product by what edit makes of it, without the variants whose IDs edit returns. edit may be
// called twice. The new version may have the SKUs of the old one and newSKUs.
//
// Errors: edit's, invalid_argument, not_found, already_exists, conflict.
func (s *Service) change(
	ctx context.Context, shopID, productID string, newSKUs []domain.SKUKey,
	edit func(old domain.Product) (next domain.Product, dropped []string, err error),
) error {
	wanted := domain.Wanted{IDs: []string{productID}, SKUs: newSKUs}
	return s.store.Change(ctx, []string{shopID}, wanted, func(have domain.Snapshot) (domain.Changes, error) {
		old := have.ByID[productID]
		if old == nil {
			return domain.Changes{}, errNoProduct
		}
		next, dropped, err := edit(*old)
		if err != nil {
			return domain.Changes{}, err
		}
		if err := next.ValidateWhole(); err != nil {
			return domain.Changes{}, err
		}
		if err := freeSKUs(have, next); err != nil {
			return domain.Changes{}, err
		}
		if len(dropped) == 0 && old.SameContent(next) {
			return domain.Changes{}, nil
		}
		if sku := next.Overdrawn(); sku != "" {
			return domain.Changes{}, errs.New(errs.Conflict,
				"more pieces of %s are reserved by open orders than would be on hand", sku)
		}
		next.ImportHash = nil
		return domain.Changes{Update: []domain.Product{next}, DropVariants: dropped}, nil
	})
}

// DeleteProduct takes a product off sale for good.
//
// Errors: not_found (also if the product is not the caller's), forbidden (the shop is suspended).
func (s *Service) DeleteProduct(ctx context.Context, productID string) error {
	shopID, err := s.shopOfProduct(ctx, productID)
	if err != nil {
		return err
	}
	if err := s.mayChange(ctx, shopID, errNoProduct); err != nil {
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
// Errors: not_found (also if the variant is not the caller's), forbidden (the shop is suspended), conflict (more are
// reserved).
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
	if err := s.mayChange(ctx, shopID, noVariant); err != nil {
		return domain.Stock{}, err
	}
	return s.store.SetStock(ctx, variantID, onHand)
}
