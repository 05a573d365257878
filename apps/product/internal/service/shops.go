package service

import (
	"context"
	"slices"
	"strings"

	"souk/apps/product/internal/domain"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
)

var errNoShop = errs.New(errs.NotFound, "there is no such shop")

func hasText(s string) bool { return strings.TrimSpace(s) != "" }

// findShop finds a shop by ID or handle.
//
// Errors: not_found.
func (s *Service) findShop(ctx context.Context, shop string) (domain.Shop, error) {
	found, err := s.findShops(ctx, []string{shop})
	if err != nil {
		return domain.Shop{}, err
	}
	if known, ok := found[shop]; ok {
		return known, nil
	}
	return domain.Shop{}, errNoShop
}

// findShops finds shops by ID or handle among the local copies. It asks the shop service for the others and keeps
// copies of them.
func (s *Service) findShops(ctx context.Context, names []string) (map[string]domain.Shop, error) {
	found := make(map[string]domain.Shop, len(names))
	add := func(shops []domain.Shop) {
		for _, shop := range shops {
			found[shop.ID] = shop
			found[shop.Handle] = shop
		}
	}
	ids, handles := split(names)
	known, err := s.store.Shops(ctx, ids, handles)
	if err != nil {
		return nil, err
	}
	add(known)
	ids, handles = split(
		slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, ok := found[name]; return ok }),
	)
	if len(ids)+len(handles) == 0 {
		return found, nil
	}
	r, err := s.shops.BatchGetShops(ctx, &shopv1.BatchGetShopsRequest{Ids: ids, Handles: handles})
	if err != nil {
		return nil, err
	}
	for _, shop := range r.GetShops() {
		local := domain.Shop{
			ID:        shop.GetId(),
			Handle:    shop.GetHandle(),
			Name:      shop.GetName(),
			Status:    shop.GetStatus(),
			UpdatedAt: shop.GetUpdatedAt().AsTime(),
		}
		if err := s.store.SaveShop(ctx, local); err != nil {
			return nil, err
		}
		add([]domain.Shop{local})
	}
	return found, nil
}

// split separates IDs from handles, without duplicates.
func split(names []string) (ids, handles []string) {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		switch {
		case seen[name], !storable(name):
		case id.Valid(id.Shop, name):
			ids = append(ids, name)
		default:
			handles = append(handles, name)
		}
		seen[name] = true
	}
	return ids, handles
}
