package handler

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"souk/apps/product/internal/domain"
	commentv1 "souk/gen/go/souk/comment/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/cqrs"
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
		return shops.ShopChanged(ctx, tx, shop)
	}
}

// ShopStates returns a function that calls save with each shop, as the shop service says that it is now.
func ShopStates(shops cqrs.States) func(ctx context.Context, save func(domain.Shop) error) (int, error) {
	return func(ctx context.Context, save func(domain.Shop) error) (int, error) {
		return shops(ctx, nil, func(e event.Event) error {
			shop, err := shopOf(e)
			if err != nil {
				return err
			}
			return save(shop)
		})
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

// shopOf decodes an event of the shop service.
//
// Errors: invalid_argument (another event).
func shopOf(e event.Event) (domain.Shop, error) {
	shop := domain.Shop{Version: e.AggregateVersion, UpdatedAt: e.Time}
	var m interface {
		proto.Message
		GetShopId() string
		GetHandle() string
		GetName() string
	}
	switch e.Subject {
	case "evt.shop.registered":
		m = &shopv1.ShopRegistered{}
	case "evt.shop.updated":
		m = &shopv1.ShopUpdated{}
	case "evt.shop.verified":
		m, shop.Status = &shopv1.ShopVerified{}, "active"
	case "evt.shop.suspended":
		m, shop.Status = &shopv1.ShopSuspended{}, domain.ShopSuspended
	default:
		return shop, errs.New(errs.Invalid, "unexpected event %s", e.Subject)
	}
	if err := e.Decode(m); err != nil {
		return shop, err
	}
	if m, ok := m.(interface{ GetStatus() string }); ok {
		shop.Status = m.GetStatus()
	}
	shop.ID, shop.Handle, shop.Name = m.GetShopId(), m.GetHandle(), m.GetName()
	return shop, nil
}
