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
	if p, err = p.Normal(); err != nil {
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
