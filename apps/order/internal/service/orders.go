package service

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/saga"
)

// Get returns the caller's order; not_found when it is not theirs.
func (s *Service) Get(ctx context.Context, orderID string) (domain.Order, error) {
	o, err := s.Store.Owned(ctx, orderID, identity.FromContext(ctx).ID)
	return o, noOrder(err)
}

// ForNotice returns any order, for the notification service; not_found.
func (s *Service) ForNotice(ctx context.Context, orderID string) (domain.Order, error) {
	o, err := s.Store.ByID(ctx, orderID)
	return o, noOrder(err)
}

// List returns a page of the caller's orders, newest first, without checkouts that were refused.
func (s *Service) List(ctx context.Context, after domain.Position, limit int) ([]domain.Order, error) {
	return s.Store.History(ctx, identity.FromContext(ctx).ID, after, limit)
}

// ListOfShop returns a page of a shop's parts of orders, newest first: those with the status, or ("") of all
// orders that were confirmed. It fails with not_found for anybody but members of the shop and operators.
// The shop may be given by its handle.
func (s *Service) ListOfShop(ctx context.Context, shop string, status domain.Status, after domain.Position, limit int) ([]domain.ShopOrder, error) {
	caller := identity.FromContext(ctx)
	standing, err := s.Shops.CheckMembership(ctx, &shopv1.CheckMembershipRequest{ShopId: shop, UserId: caller.ID})
	if err != nil {
		return nil, err
	}
	shopID := standing.GetShopId()
	if shopID == "" || !standing.GetMember() && !caller.IsOperator() {
		return nil, errs.New(errs.NotFound, "there is no such shop")
	}
	return s.Store.ShopHistory(ctx, shopID, status, after, limit)
}

// Ship marks a shop's part of an order as on its way.
//
// Its errors: not_found for anybody but members of the shop and operators; conflict in the wrong state, and
// as long as the payment has not been collected, which is a moment after the checkout.
func (s *Service) Ship(ctx context.Context, partID, carrier, tracking string) (domain.ShopOrder, error) {
	return s.move(ctx, partID, func(o *domain.Order, at time.Time) ([]event.Event, domain.Start, error) {
		changed, err := o.Ship(partID, carrier, tracking, at)
		if err != nil || !changed {
			return nil, domain.Start{}, err
		}
		told, err := event.New(ctx, SubjectShipped, o.ID, o.Version, at, &orderv1.OrderShipped{
			OrderId: o.ID, ShopOrderId: partID, ShopId: o.Part(partID).ShopID, Carrier: carrier, TrackingNumber: tracking,
		})
		return []event.Event{told}, domain.Start{}, err
	})
}

// Deliver marks a shipped part as arrived. When it was the last one of an order paid in cash, the cash is taken in.
//
// Its errors: not_found for anybody but members of the shop and operators; conflict when the part was not shipped.
func (s *Service) Deliver(ctx context.Context, partID string) (domain.ShopOrder, error) {
	return s.move(ctx, partID, func(o *domain.Order, at time.Time) ([]event.Event, domain.Start, error) {
		changed, err := o.Deliver(partID, at)
		if err != nil || !changed {
			return nil, domain.Start{}, err
		}
		told, err := event.New(ctx, SubjectDelivered, o.ID, o.Version, at, &orderv1.OrderDelivered{
			OrderId: o.ID, ShopOrderId: partID, ShopId: o.Part(partID).ShopID,
		})
		var start domain.Start
		if o.DueAtTheDoor() {
			start = domain.Start{Type: domain.CollectSaga, ID: "collect_" + o.ID, Input: cancelInput{OrderID: o.ID}}
		}
		return []event.Event{told}, start, err
	})
}

func (s *Service) move(ctx context.Context, partID string, change func(*domain.Order, time.Time) ([]event.Event, domain.Start, error)) (domain.ShopOrder, error) {
	const none = "there is no such shop order"
	orderID, shopID, err := s.Store.PartOwner(ctx, partID)
	if errs.Is(err, errs.NotFound) {
		return domain.ShopOrder{}, errs.Wrap(err, errs.NotFound, none)
	}
	if err != nil {
		return domain.ShopOrder{}, err
	}
	if err := s.member(ctx, shopID, none); err != nil {
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
	part := *o.Part(partID)
	part.Address = o.Address
	return part, nil
}

// member fails with not_found unless the caller is a member of the shop, or an operator.
func (s *Service) member(ctx context.Context, shopID, none string) error {
	caller := identity.FromContext(ctx)
	if caller.IsOperator() {
		return nil
	}
	if !caller.IsUser() {
		return errs.New(errs.NotFound, "%s", none)
	}
	res, err := s.Shops.CheckMembership(ctx, &shopv1.CheckMembershipRequest{ShopId: shopID, UserId: caller.ID})
	switch {
	case errs.Is(err, errs.NotFound), err == nil && !res.GetMember():
		return errs.New(errs.NotFound, "%s", none)
	default:
		return err
	}
}

// The pauses between two looks whether a cancellation is done.
const (
	minLook = 5 * time.Millisecond
	maxLook = 100 * time.Millisecond
)

// Cancel cancels the caller's order before anything of it was shipped, and answers once stock and money are
// back: the order is cancelled, its payment voided, or refunded when it was captured. Cancelling twice is the same as once.
//
// Its errors: not_found when the order is not theirs; conflict while its checkout runs and after a part was
// shipped; timeout when it takes long: it goes on, and another call waits for it.
func (s *Service) Cancel(ctx context.Context, orderID, reason string) (domain.Order, error) {
	caller := identity.FromContext(ctx).ID
	if _, err := s.Get(ctx, orderID); err != nil {
		return domain.Order{}, err
	}
	o, err := s.Store.ChangeAndStart(ctx, orderID, func(o *domain.Order) ([]event.Event, domain.Start, error) {
		done, err := o.MayCancel()
		if err != nil || done {
			return nil, domain.Start{}, err
		}
		start := domain.Start{Type: domain.CancelSaga, ID: id.New("can"), Input: cancelInput{OrderID: o.ID, Number: o.Number, CustomerID: o.CustomerID}}
		o.BeginCancel(start.ID, reason, s.Clock.Now())
		return nil, start, nil
	})
	if err != nil || o.Status == domain.Cancelled {
		return o, err
	}
	out, err := s.Runner.Execute(ctx, o.CancelID)
	switch {
	case err != nil:
		return domain.Order{}, err
	case out.State != saga.Confirmed && errs.Is(causeOf(out), errs.Conflict):
		return domain.Order{}, out.Err
	case out.State != saga.Confirmed:
		return domain.Order{}, errs.Wrap(causeOf(out), errs.Conflict, "the checkout of this order has not ended yet; try again in a moment").WithRetryAfter(time.Second)
	}
	// The decision is made; what follows can only go forward.
	wait, cancel := beforeDeadline(ctx)
	defer cancel()
	for pause := minLook; ; pause = min(2*pause, maxLook) {
		if o, err = s.Store.Owned(wait, orderID, caller); err != nil || o.Status == domain.Cancelled {
			return o, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-wait.Done():
			timer.Stop()
			return domain.Order{}, errs.New(errs.Timeout, "the order is being cancelled; that takes longer than usual")
		}
	}
}

func noOrder(err error) error {
	if errs.Is(err, errs.NotFound) {
		return errs.Wrap(err, errs.NotFound, "there is no such order")
	}
	return err
}
