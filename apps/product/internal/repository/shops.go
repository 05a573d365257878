package repository

import (
	"context"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/postgres"

	"github.com/jackc/pgx/v5"
)

// Shops finds shops among the local copies, by ID or by handle.
func (s *Store) Shops(ctx context.Context, ids, handles []string) ([]domain.Shop, error) {
	rows, err := s.q.Shops(ctx, sqlc.ShopsParams{Ids: list(ids), Handles: list(handles)})
	if err != nil {
		return nil, postgres.Err(err)
	}
	shops := make([]domain.Shop, len(rows))
	for i, r := range rows {
		shops[i] = domain.Shop{ID: r.ShopID, Handle: r.Handle, Name: r.Name, Status: r.Status, UpdatedAt: r.UpdatedAt}
	}
	return shops, nil
}

// SaveShop keeps a local copy of a shop, unless a newer one is there.
func (s *Store) SaveShop(ctx context.Context, shop domain.Shop) error {
	_, err := s.q.SaveShop(ctx, saveShop(shop))
	return postgres.Err(err)
}

// ShopChanged keeps what an event told about a shop, and brings its listings up to date. News that is
// older than what is known changes nothing.
func (s *Store) ShopChanged(ctx context.Context, shop domain.Shop) error {
	var touched []string
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		touched, err = s.shopChanged(ctx, tx, shop)
		return err
	})
	if err != nil {
		return postgres.Err(err)
	}
	s.changed(ctx, touched)
	return nil
}

func (s *Store) shopChanged(ctx context.Context, tx pgx.Tx, shop domain.Shop) (touched []string, err error) {
	q := s.q.WithTx(tx)
	before, err := q.Shops(ctx, sqlc.ShopsParams{Ids: []string{shop.ID}, Handles: []string{}})
	if err != nil {
		return nil, err
	}
	if n, err := q.SaveShop(ctx, saveShop(shop)); err != nil || n == 0 {
		return nil, err
	}
	if len(before) == 1 && before[0].Name == shop.Name && before[0].Handle == shop.Handle &&
		(before[0].Status == domain.ShopSuspended) == (shop.Status == domain.ShopSuspended) {
		return nil, nil
	}
	for after := ""; ; {
		ids, err := q.ProductsOfShop(ctx, sqlc.ProductsOfShopParams{ShopID: shop.ID, After: after, PageSize: refreshChunk})
		if err != nil || len(ids) == 0 {
			return touched, err
		}
		if err := s.refresh(ctx, tx, ids); err != nil {
			return nil, err
		}
		touched = append(touched, ids...)
		after = ids[len(ids)-1]
	}
}

func saveShop(shop domain.Shop) sqlc.SaveShopParams {
	return sqlc.SaveShopParams{ShopID: shop.ID, Handle: shop.Handle, Name: shop.Name, Status: shop.Status, UpdatedAt: shop.UpdatedAt}
}
