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

// Get returns one of the caller's orders.
//
// Errors: not_found (also for another customer's order).
func (s *Service) Get(ctx context.Context, orderID string) (domain.Order, error) {
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

// List returns a page of the caller's orders, newest first, without refused checkouts.
func (s *Service) List(ctx context.Context, after domain.Position, limit int) ([]domain.Order, error) {
	return s.Store.History(ctx, identity.FromContext(ctx).ID, after, limit)
}

// ListOfShop returns a page of a shop's shop orders, newest first. It returns those with the status, or all that
// were ever confirmed if the status is "". shop is an ID or a handle.
//
// Errors: not_found (also if the caller is neither a member of the shop nor an operator).
func (s *Service) ListOfShop(
	ctx context.Context, shop string, status domain.Status, after domain.Position, limit int,
) ([]domain.ShopOrder, error) {
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

// Ship marks a shop order as shipped.
//
// Errors: not_found (also if the caller is neither a member of the shop nor an operator), conflict (wrong state,
// or the payment is not captured yet, which happens a moment after the checkout).
func (s *Service) Ship(ctx context.Context, partID, carrier, tracking string) (domain.ShopOrder, error) {
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
// Errors: not_found (also if the caller is neither a member of the shop nor an operator), conflict (not shipped).
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

// move changes a shop order on behalf of a member of its shop or an operator.
func (s *Service) move(
	ctx context.Context, partID string, change func(*domain.Order, time.Time) ([]event.Event, domain.Start, error),
) (domain.ShopOrder, error) {
	const notFound = "there is no such shop order"
	orderID, shopID, err := s.Store.PartOwner(ctx, partID)
	if errs.Is(err, errs.NotFound) {
		return domain.ShopOrder{}, errs.Wrap(err, errs.NotFound, notFound)
	}
	if err != nil {
		return domain.ShopOrder{}, err
	}
	if err := s.checkMember(ctx, shopID, notFound); err != nil {
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

// checkMember returns nil if the caller is a member of the shop or an operator.
//
// Errors: not_found (with the message).
func (s *Service) checkMember(ctx context.Context, shopID, message string) error {
	caller := identity.FromContext(ctx)
	if caller.IsOperator() {
		return nil
	}
	if !caller.IsUser() {
		return errs.New(errs.NotFound, "%s", message)
	}
	res, err := s.Shops.CheckMembership(ctx, &shopv1.CheckMembershipRequest{ShopId: shopID, UserId: caller.ID})
	switch {
	case errs.Is(err, errs.NotFound), err == nil && !res.GetMember():
		return errs.New(errs.NotFound, "%s", message)
	default:
		return err
	}
}

// The interval at which Cancel polls for the end of a cancellation. It doubles from minPoll to maxPoll.
const (
	minPoll = 5 * time.Millisecond
	maxPoll = 100 * time.Millisecond
)

// Cancel cancels one of the caller's orders, if nothing of it was shipped. It returns once stock and money are
// returned: the order is cancelled, and its payment is voided, or refunded if it was captured. Cancel is
// idempotent.
//
// Errors: not_found (also for another customer's order), conflict (its checkout still runs, or a shop order was
// shipped), timeout (the cancellation continues; another call waits for it).
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
		start := domain.Start{
			Type:  domain.CancelSaga,
			ID:    id.New("can"),
			Input: cancelInput{OrderID: o.ID, Number: o.Number, CustomerID: o.CustomerID},
		}
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
		return domain.Order{}, errs.Wrap(causeOf(out), errs.Conflict,
			"the checkout of this order has not ended yet; try again in a moment").
			WithRetryAfter(time.Second)
	}
	// The saga is past its pivot and only goes forward.
	wait, cancel := beforeDeadline(ctx)
	defer cancel()
	for pause := minPoll; ; pause = min(2*pause, maxPoll) {
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
