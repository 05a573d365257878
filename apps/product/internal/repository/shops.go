package repository

import (
	"context"
	_ "embed" // for the statement below
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
)

const (
	// relistChunk is the most listings of a shop that one transaction refreshes. A reservation that sells out
	// one of these products waits for it.
	relistChunk = 100
	// relistBackoff is the delay before a retry for a shop whose listings could not be refreshed.
	relistBackoff = 30 * time.Second
)

// Shops finds shops among the local copies, by ID or by handle.
func (s *Store) Shops(ctx context.Context, ids, handles []string) ([]domain.Shop, error) {
	return shops(ctx, s.q, ids, handles)
}

func shops(ctx context.Context, q *sqlc.Queries, ids, handles []string) ([]domain.Shop, error) {
	rows, err := q.Shops(ctx, sqlc.ShopsParams{Ids: list(ids), Handles: list(handles)})
	if err != nil {
		return nil, postgres.Err(err)
	}
	found := make([]domain.Shop, len(rows))
	for i, r := range rows {
		found[i] = domain.Shop{ID: r.ShopID, Handle: r.Handle, Name: r.Name, Status: r.Status, UpdatedAt: r.UpdatedAt}
	}
	return found, nil
}

// SaveShop stores a local copy of a shop that a call to the shop service returned, unless there is a copy. An
// existing copy may be older: the shop's events, which have versions, bring it up to date.
func (s *Store) SaveShop(ctx context.Context, shop domain.Shop) error {
	shop.Version = 0
	return s.saveShop(ctx, s.q, shop)
}

// ShopChanged stores what an event says about a shop, in the transaction of the event's inbox row. Once that is
// committed, nothing of a shop that does not sell can be reserved. The shop's listings, which may be thousands, are
// only marked in the same row. [Store.Relist] refreshes them afterwards, so that no sale waits for all of them.
//
// An event that is not newer than the stored version changes nothing and removes no mark. So in whatever order
// and however often events arrive, the row ends with the newest version. It stays marked until its listings are
// refreshed.
//
// A version that jumps far ahead is refused: stored, it would hide all later events. Such an event becomes a dead
// letter.
//
// Errors: invalid_argument (the version jumps).
func (s *Store) ShopChanged(ctx context.Context, tx pgx.Tx, shop domain.Shop) error {
	q := s.q.WithTx(tx)
	stored, err := q.ShopVersion(ctx, shop.ID)
	if err != nil {
		return postgres.Err(err)
	}
	if shop.Version-stored > maxVersionJump {
		return errs.New(errs.Invalid, "the shop's version jumps from %d to %d", stored, shop.Version)
	}
	return s.saveShop(ctx, q, shop)
}

// maxVersionJump is how many versions of a shop may have no event that was consumed: more than a shop changes within
// the time that events are kept.
const maxVersionJump = 10_000

func (s *Store) saveShop(ctx context.Context, q *sqlc.Queries, shop domain.Shop) error {
	return saveShop(ctx, q, shop, s.opts.UnverifiedSell != nil && s.opts.UnverifiedSell())
}

func saveShop(ctx context.Context, q *sqlc.Queries, shop domain.Shop, unverifiedSells bool) error {
	return postgres.Err(q.SaveShop(ctx, sqlc.SaveShopParams{
		ShopID:    shop.ID,
		Handle:    shop.Handle,
		Name:      shop.Name,
		Status:    shop.Status,
		Version:   shop.Version,
		UpdatedAt: shop.UpdatedAt,

		UnverifiedSells: unverifiedSells,
	}))
}

//go:embed sql/lock_shop_refs.sql
var lockShopRefs string

// RebuildShops stores the shops that states calls its function with, whatever the versions of the copies, in one
// transaction. It returns their number. A copy of a shop that states does not name stays, until the shop's next event.
//
// The shops are read under a lock that keeps other transactions from storing one. So what was stored before is part of
// what is read, and an event that arrives meanwhile is compared with what was read.
func (s *Store) RebuildShops(
	ctx context.Context, states func(ctx context.Context, save func(domain.Shop) error) (int, error),
) (n int, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.q.WithTx(tx)
		if _, err := tx.Exec(ctx, lockShopRefs); err != nil {
			return postgres.Err(err)
		}
		unverifiedSell, err := q.ResetShops(ctx)
		if err != nil {
			return postgres.Err(err)
		}
		n, err = states(ctx, func(shop domain.Shop) error { return saveShop(ctx, q, shop, unverifiedSell) })
		return err
	})
	return n, err
}

// LetUnverifiedSell applies the setting unverified_shops_sell to the shops that are stored. From then on unverified
// shops can or can't sell; their listings are marked, and [Store.Relist] refreshes them.
func (s *Store) LetUnverifiedSell(ctx context.Context, sell bool) error {
	return postgres.Err(s.q.LetUnverifiedSell(ctx, sell))
}

// Relist refreshes some listings of a changed shop and reports whether there may be more. It commits its
// progress with the listings, so that the next call continues there, even after a crash. A shop that changes in
// between starts from its first product again. Several processes may call Relist at the same time; each takes
// another shop. A shop that fails is retried after a backoff, behind all others.
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
		// A transaction that is writing a product may have read the old shop. Wait for it, so that the read below
		// sees the product.
		if err := q.LockShops(ctx, []string{shop.ShopID}); err != nil {
			return err
		}
		arg := sqlc.ProductsOfShopParams{ShopID: shop.ShopID, After: shop.RelistAfter, PageSize: relistChunk}
		ids, err = q.ProductsOfShop(ctx, arg)
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
		later := sqlc.RelistLaterParams{ShopID: shop.ShopID, RelistAt: s.opts.Clock.Now().Add(relistBackoff)}
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
