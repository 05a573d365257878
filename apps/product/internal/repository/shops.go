package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
)

// relistChunk is how many listings of a shop one transaction makes anew: a reservation that sells one of them out waits
// for it. relistPause is how long a shop is left alone after that failed.
const (
	relistChunk = 100
	relistPause = 30 * time.Second
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

// SaveShop keeps a local copy of a shop that the shop service told when asked, unless there is one. That may be an
// older one: its events, which have versions, bring it up to date.
func (s *Store) SaveShop(ctx context.Context, shop domain.Shop) error {
	shop.Version = 0
	return saveShop(ctx, s.q, shop)
}

// ShopChanged keeps what an event told about a shop, in the transaction of the event's inbox row: from its commit
// on nothing of a suspended shop can be reserved. Its listings, which may be thousands, are only marked in the same
// row, and [Store.Relist] makes them anew afterwards, so that no sale waits for all of them.
//
// News that is not newer than what is known changes nothing, and takes no mark back. So whatever order events come in, and
// however often, the row ends as the newest of them says, and marked unless its listings were made anew after that.
func (s *Store) ShopChanged(ctx context.Context, tx pgx.Tx, shop domain.Shop) error {
	return saveShop(ctx, s.q.WithTx(tx), shop)
}

func saveShop(ctx context.Context, q *sqlc.Queries, shop domain.Shop) error {
	return postgres.Err(q.SaveShop(ctx, sqlc.SaveShopParams{
		ShopID: shop.ID, Handle: shop.Handle, Name: shop.Name, Status: shop.Status, Version: shop.Version, UpdatedAt: shop.UpdatedAt,
	}))
}

// Relist makes some listings anew whose shop has changed, and reports whether there may be more. Where it stands is
// committed along with them: whoever comes next, after a crash too, goes on from there, and a shop that changes
// meanwhile begins anew. Several processes may do it at once, each for another shop. A shop for which it fails comes
// again after all others.
func (s *Store) Relist(ctx context.Context) (more bool, err error) {
	var shop sqlc.ShopToRelistRow
	var ids []string
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.q.WithTx(tx)
		more, ids = false, nil
		var err error
		if shop, err = q.ShopToRelist(ctx, s.opts.Clock.Now()); errors.Is(err, pgx.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		// A product that is being written may have read the shop as it was before: it is waited for, to be seen below.
		if err := q.LockShops(ctx, []string{shop.ShopID}); err != nil {
			return err
		}
		ids, err = q.ProductsOfShop(ctx, sqlc.ProductsOfShopParams{ShopID: shop.ShopID, After: shop.RelistAfter, PageSize: relistChunk})
		if err != nil {
			return err
		}
		if err := refreshListings(ctx, s.q.WithTx(tx), ids); err != nil {
			return err
		}
		more = true
		done := sqlc.RelistedParams{ShopID: shop.ShopID}
		if len(ids) == relistChunk {
			done.RelistAfter = &ids[len(ids)-1]
		}
		return q.Relisted(ctx, done)
	})
	switch {
	case err != nil && shop.ShopID == "":
		return false, postgres.Err(err)
	case err != nil:
		later := sqlc.RelistLaterParams{ShopID: shop.ShopID, RelistAt: s.opts.Clock.Now().Add(relistPause)}
		return s.q.RelistLater(ctx, later) == nil, fmt.Errorf("shop %s: %w", shop.ShopID, postgres.Err(err))
	}
	if len(ids) > 0 {
		if err := failpoint.Hit(ctx, FailAfterCommit); err != nil {
			return false, err
		}
		s.changed(ctx, ids)
	}
	return more, nil
}
