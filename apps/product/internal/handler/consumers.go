package handler

import (
	"context"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	commentv1 "souk/gen/go/souk/comment/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// ShopSubjects are the subjects of the events that OnShop handles.
var ShopSubjects = []string{"evt.shop.registered", "evt.shop.updated", "evt.shop.verified", "evt.shop.suspended"}

// Shops keeps local copies of shops.
type Shops interface {
	// ShopChanged stores what an event says about a shop, in the event's transaction.
	ShopChanged(ctx context.Context, tx pgx.Tx, shop domain.Shop) error
}

// OnShop returns the handler of the shop service's events. It leaves the shop's listings to a [Relister], which the
// caller wakes after the commit.
func OnShop(shops Shops) func(context.Context, pgx.Tx, event.Event) error {
	return func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		shop, err := shopOf(e)
		if err != nil {
			return err
		}
		shop.Version, shop.UpdatedAt = e.AggregateVersion, e.Time
		return shops.ShopChanged(ctx, tx, shop)
	}
}

// RatingSubjects are the subjects of the events that OnRating handles.
var RatingSubjects = []string{"evt.review.rating_changed"}

// Ratings keeps what the reviews of products add up to.
type Ratings interface {
	// RatingChanged stores what an event says about a product's reviews, in the event's transaction.
	RatingChanged(ctx context.Context, tx pgx.Tx, r domain.Rating) error
}

// OnRating returns the handler of the comment service's events.
func OnRating(ratings Ratings) func(context.Context, pgx.Tx, event.Event) error {
	return func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		m := &commentv1.RatingChanged{}
		if err := e.Decode(m); err != nil {
			return err
		}
		return ratings.RatingChanged(ctx, tx, domain.Rating{
			ProductID: m.GetProductId(), Average: m.GetAverage(), Count: m.GetCount(), Version: e.AggregateVersion,
		})
	}
}

func shopOf(e event.Event) (domain.Shop, error) {
	switch e.Subject {
	case "evt.shop.registered":
		m := &shopv1.ShopRegistered{}
		err := e.Decode(m)
		return domain.Shop{ID: m.GetShopId(), Handle: m.GetHandle(), Name: m.GetName(), Status: m.GetStatus()}, err
	case "evt.shop.updated":
		m := &shopv1.ShopUpdated{}
		err := e.Decode(m)
		return domain.Shop{ID: m.GetShopId(), Handle: m.GetHandle(), Name: m.GetName(), Status: m.GetStatus()}, err
	case "evt.shop.verified":
		m := &shopv1.ShopVerified{}
		err := e.Decode(m)
		return domain.Shop{ID: m.GetShopId(), Handle: m.GetHandle(), Name: m.GetName(), Status: "active"}, err
	case "evt.shop.suspended":
		m := &shopv1.ShopSuspended{}
		err := e.Decode(m)
		return domain.Shop{
			ID:     m.GetShopId(),
			Handle: m.GetHandle(),
			Name:   m.GetName(),
			Status: domain.ShopSuspended,
		}, err
	}
	return domain.Shop{}, errs.New(errs.Invalid, "unexpected event %s", e.Subject)
}
