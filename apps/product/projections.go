package product

import (
	"context"

	"souk/apps/product/internal/handler"
	"souk/apps/product/internal/repository"
	"souk/pkg/clock"
	"souk/pkg/cqrs"
)

// The projections of the product service.
const (
	Search  = "search"
	Shops   = "shops"
	Ratings = "ratings"
)

func projections() []cqrs.Projection {
	return []cqrs.Projection{
		{
			Name: Search, Shows: "what lists and searches show of a product: a row each",
			Consumers: []string{Shops, Ratings}, // and the transactions of changes of products and stock
			Unit:      "products", Rows: cqrs.Count("listing"),
			Rebuild: rebuild(func(ctx context.Context, s *repository.Store, _ cqrs.States) (int, error) {
				return s.Rebuild(ctx)
			}),
		},
		{
			Name: Shops, Shows: "name, handle and status of each shop", Consumers: []string{Shops},
			Source: "shop", Unit: "shops", Rows: cqrs.Count("shop_ref"),
			Rebuild: rebuild(func(ctx context.Context, s *repository.Store, shops cqrs.States) (int, error) {
				return s.RebuildShops(ctx, handler.ShopStates(shops))
			}),
		},
		{
			Name: Ratings, Shows: "what the reviews of a product add up to", Consumers: []string{Ratings},
			Source: "comment", Unit: "ratings of products", Rows: cqrs.Count("rating"),
			Rebuild: rebuild(rebuildRatings),
		},
	}
}

// rebuild returns a rebuild that works on the service's tables. The running service shows the new rows once its cached
// ones have expired.
func rebuild(
	f func(context.Context, *repository.Store, cqrs.States) (int, error),
) func(context.Context, cqrs.DB, cqrs.States) (int, error) {
	return func(ctx context.Context, db cqrs.DB, source cqrs.States) (int, error) {
		store := repository.New(db.Pool, repository.Options{Clock: clock.System{}})
		defer store.Close()
		return f(ctx, store, source)
	}
}

// rebuildRatings makes the service take the next event about the reviews of each product, even if its version is lower
// than that of the last one: the comment service's database may be an older backup. The comment service publishes these
// events.
func rebuildRatings(ctx context.Context, s *repository.Store, ratings cqrs.States) (int, error) {
	rated, err := s.ResetRatings(ctx)
	if err != nil {
		return 0, err
	}
	return ratings(ctx, rated, nil) // publishes
}
