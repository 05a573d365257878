package service

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/membership"
	"souk/pkg/rpc"
)

// Get returns one of the caller's orders, or any order if the caller has the method's permission in the whole
// marketplace.
//
// Errors: not_found (also for another customer's order).
func (s *Service) Get(ctx context.Context, orderID string) (domain.Order, error) {
	if rpc.Permitted(ctx) {
		o, err := s.Store.ByID(ctx, orderID)
		return o, noOrder(err)
	}
	return s.owned(ctx, orderID)
}

// owned returns one of the caller's orders.
//
// Errors: not_found (also for another customer's order).
func (s *Service) owned(ctx context.Context, orderID string) (domain.Order, error) {
	o, err := s.Store.Owned(ctx, orderID, identity.FromContext(ctx).ID)
	return o, noOrder(err)
}

// ForNotice returns any order, for the notification service.
//
// Errors: not_found.
func (s *Service) ForNotice(ctx context.Context, orderID string) (domain.Order, error) {
	o, err := s.Store.ByID(ctx, orderID)
	return o, noOrder(err)
}

// FindPurchase returns the shop from which a customer has bought a product in a confirmed order. It is "" if the
// customer has not, or if all of it was cancelled.
//
// Errors: unavailable.
func (s *Service) FindPurchase(ctx context.Context, customerID, productID string) (shopID string, err error) {
	return s.Store.FindPurchase(ctx, customerID, productID)
}

// List returns a page of the caller's orders, newest first, without refused checkouts.
func (s *Service) List(ctx context.Context, after domain.Position, limit int) ([]domain.Order, error) {
	return s.Store.History(ctx, identity.FromContext(ctx).ID, after, limit)
}

// ListOfShop returns a page of a shop's shop orders, newest first. It returns those with the status, or all that
// were ever confirmed if the status is "". shop is an ID or a handle.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden, unavailable.
func (s *Service) ListOfShop(
	ctx context.Context, shop string, status domain.Status, after domain.Position, limit int,
) ([]domain.ShopOrder, error) {
	shopID, err := s.shopOf(ctx, shop)
	if err != nil {
		return nil, err
	}
	parts, err := s.Store.ShopHistory(ctx, shopID, status, after, limit)
	if err != nil {
		return nil, err
	}
	return parts, s.addEmails(ctx, parts)
}

// shopOf returns the ID of a shop, which is given by ID or handle, in which the caller has the method's permission.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden, unavailable.
func (s *Service) shopOf(ctx context.Context, shop string) (string, error) {
	in, err := membership.Check(ctx, s.Shops, shop, errs.New(errs.NotFound, "there is no such shop"))
	return in.ShopID, err
}

// Ship marks a shop order as shipped. Without a carrier the shop delivers itself.
//
// Errors: invalid_argument (a tracking number without a carrier, a text with a web address), not_found (also if the
// caller is neither a member of the shop nor an operator), conflict (wrong state, or the payment is not captured yet,
// which happens a moment after the checkout).
func (s *Service) Ship(ctx context.Context, partID, carrier, tracking string) (domain.ShopOrder, error) {
	if carrier == "" && tracking != "" {
		return domain.ShopOrder{}, errs.InvalidField("carrier", "is required with a tracking number")
	}
	for _, t := range []struct{ path, text string }{{"carrier", carrier}, {"trackingNumber", tracking}} {
		if t.text == "" {
			continue
		}
		if err := checkText(t.path, t.text); err != nil {
			return domain.ShopOrder{}, err
		}
	}
	return s.move(ctx, partID, func(o *domain.Order, at time.Time) ([]event.Event, domain.Start, error) {
		changed, err := o.Ship(partID, carrier, tracking, at)
		if err != nil || !changed {
			return nil, domain.Start{}, err
		}
		ev, err := event.New(ctx, SubjectShipped, o.ID, o.Version, at, &orderv1.OrderShipped{
			OrderId:        o.ID,
			ShopOrderId:    partID,
			ShopId:         o.Part(partID).ShopID,
			Carrier:        carrier,
			TrackingNumber: tracking,
		})
		return []event.Event{ev}, domain.Start{}, err
	})
}

// Deliver marks a shipped shop order as delivered. If it is the last one of a cash-on-delivery order, Deliver
// starts the saga that captures the cash.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden, conflict (not shipped).
func (s *Service) Deliver(ctx context.Context, partID string) (domain.ShopOrder, error) {
	return s.move(ctx, partID, func(o *domain.Order, at time.Time) ([]event.Event, domain.Start, error) {
		changed, err := o.Deliver(partID, at)
		if err != nil || !changed {
			return nil, domain.Start{}, err
		}
		ev, err := event.New(ctx, SubjectDelivered, o.ID, o.Version, at, &orderv1.OrderDelivered{
			OrderId: o.ID, ShopOrderId: partID, ShopId: o.Part(partID).ShopID,
		})
		var start domain.Start
		if o.CashCollected() {
			start = domain.Start{Type: domain.CollectSaga, ID: "collect_" + o.ID, Input: cancelInput{OrderID: o.ID}}
		}
		return []event.Event{ev}, start, err
	})
}

const noShopOrder = "there is no such shop order"

// orderOfPart returns the ID of the order of a shop order, in whose shop the caller has the method's permission.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) orderOfPart(ctx context.Context, partID string) (string, error) {
	orderID, shopID, err := s.Store.PartOwner(ctx, partID)
	if errs.Is(err, errs.NotFound) {
		return "", errs.Wrap(err, errs.NotFound, noShopOrder)
	}
	if err != nil {
		return "", err
	}
	_, err = membership.CheckKnown(ctx, s.Shops, shopID, errs.New(errs.NotFound, noShopOrder))
	return orderID, err
}

// move changes a shop order on behalf of a caller with the permission in its shop.
func (s *Service) move(
	ctx context.Context, partID string, change func(*domain.Order, time.Time) ([]event.Event, domain.Start, error),
) (domain.ShopOrder, error) {
	orderID, err := s.orderOfPart(ctx, partID)
	if err != nil {
		return domain.ShopOrder{}, err
	}
	var start domain.Start
	o, err := s.Store.ChangeAndStart(ctx, orderID, func(o *domain.Order) ([]event.Event, domain.Start, error) {
		var events []event.Event
		var err error
		events, start, err = change(o, s.Clock.Now())
		return events, start, err
	})
	if err != nil {
		return domain.ShopOrder{}, err
	}
	if start.ID != "" {
		s.Runner.Detach(start.ID)
	}
	return withoutBuyer(o.ForShop(partID)), nil
}

func noOrder(err error) error {
	if errs.Is(err, errs.NotFound) {
		return errs.Wrap(err, errs.NotFound, "there is no such order")
	}
	return err
}
