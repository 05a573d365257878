package service

import (
	"context"

	"souk/apps/product/internal/domain"
	"souk/pkg/errs"
)

// Condition says whether a change may be made to the product that is there, given as its encoded document. nil: it may.
//
// Errors: precondition_failed.
type Condition func(document []byte) error

// UpdateProduct changes a product to next, as far as edit says.
//
// Errors: invalid_argument, not_found (the product is not the caller's, or the category is unknown), forbidden (the
// shop is suspended), already_exists (another product of the shop has a SKU), conflict (more pieces are reserved than
// would be on hand), precondition_failed.
func (s *Service) UpdateProduct(
	ctx context.Context, productID string, next domain.Product, edit domain.Edit, condition Condition,
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
	if next, err = next.Normal(); err != nil {
		return domain.Document{}, err
	}
	next.ShopID = shopID
	err = s.change(ctx, shopID, productID, skus(next), condition,
		func(old domain.Product) (domain.Product, []string, error) {
			merged, dropped := old.Merge(next, edit, newVariantID)
			return merged, dropped, nil
		})
	if err != nil {
		return domain.Document{}, err
	}
	return s.store.Document(ctx, productID)
}

// UpdateVariant changes what fields names of a variant. It returns the variant's product.
//
// Errors: invalid_argument, not_found (also if the variant is not the caller's), forbidden (the shop is suspended),
// already_exists (another product of the shop has the SKU), conflict (more pieces are reserved than would be on hand),
// precondition_failed.
func (s *Service) UpdateVariant(
	ctx context.Context, variantID string, next domain.Variant, fields map[string]bool, condition Condition,
) (domain.Document, error) {
	productID, shopID, err := s.ownVariant(ctx, variantID, s.mayChange)
	if err != nil {
		return domain.Document{}, err
	}
	if next, err = next.Normal(""); err != nil {
		return domain.Document{}, err
	}
	newSKUs := skus(domain.Product{ShopID: shopID, Variants: []domain.Variant{next}})
	err = s.change(ctx, shopID, productID, newSKUs, condition,
		func(old domain.Product) (domain.Product, []string, error) {
			edited, found := old.EditVariant(variantID, next, fields)
			if !found {
				return old, nil, errNoVariant
			}
			return edited, nil, nil
		})
	if err != nil {
		return domain.Document{}, err
	}
	return s.store.Document(ctx, productID)
}

// change replaces a shop's product by what edit makes of it, without the variants whose IDs edit returns. edit may be
// called twice. The new version may have the SKUs of the old one and newSKUs.
//
// Errors: edit's, invalid_argument, not_found, already_exists, conflict, precondition_failed.
func (s *Service) change(
	ctx context.Context, shopID, productID string, newSKUs []domain.SKUKey, condition Condition,
	edit func(old domain.Product) (next domain.Product, dropped []string, err error),
) error {
	wanted := domain.Wanted{IDs: []string{productID}, SKUs: newSKUs, Documents: condition != nil}
	return s.store.Change(ctx, []string{shopID}, wanted, func(have domain.Snapshot) (domain.Changes, error) {
		old := have.ByID[productID]
		if old == nil {
			return domain.Changes{}, errNoProduct
		}
		if err := condition.check(have, productID); err != nil {
			return domain.Changes{}, err
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

func (c Condition) check(have domain.Snapshot, productID string) error {
	if c == nil {
		return nil
	}
	return c(have.Documents[productID])
}

// DeleteProduct takes a product off sale for good.
//
// Errors: not_found (also if the product is not the caller's), forbidden (the shop is suspended), precondition_failed.
func (s *Service) DeleteProduct(ctx context.Context, productID string, condition Condition) error {
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
		domain.Wanted{IDs: []string{productID}, Documents: condition != nil},
		func(have domain.Snapshot) (domain.Changes, error) {
			if have.ByID[productID] == nil {
				return domain.Changes{}, errNoProduct
			}
			if err := condition.check(have, productID); err != nil {
				return domain.Changes{}, err
			}
			return domain.Changes{Delete: []string{productID}}, nil
		},
	)
}
