package service

import (
	"context"
	"strings"
	"time"

	"souk/apps/order/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/rpc"
	"souk/pkg/saga"
	"souk/pkg/weblink"
)

// The interval at which a cancellation's caller polls for its end. It doubles from minPoll to maxPoll.
const (
	minPoll = 5 * time.Millisecond
	maxPoll = 100 * time.Millisecond
)

// Cancel cancels what was not shipped of one of the caller's orders: the shop orders with the IDs, or all if no ID is
// given. It returns once stock and money are returned: the shop orders are cancelled, and their share of the payment is
// refunded, or not collected. Cancel is idempotent.
//
// Errors: not_found (also for another customer's order), conflict (its checkout still runs, or it was shipped),
// timeout (the cancellation continues; another call waits for it).
func (s *Service) Cancel(ctx context.Context, orderID, reason string, partIDs []string) (domain.Order, error) {
	if _, err := s.owned(ctx, orderID); err != nil {
		return domain.Order{}, err
	}
	return s.cancel(ctx, orderID,
		domain.CancelRequest{PartIDs: partIDs, By: domain.CancelledByCustomer, Reason: reason})
}

// CancelAsOperator is Cancel of any order, for operators.
//
// Errors: invalid_argument, not_found, conflict, timeout; see Cancel.
func (s *Service) CancelAsOperator(ctx context.Context, orderID, reason string) (domain.Order, error) {
	if err := checkText("reason", reason); err != nil {
		return domain.Order{}, err
	}
	o, err := s.cancel(ctx, orderID, domain.CancelRequest{By: domain.CancelledByOperator, Reason: reason})
	return o, noOrder(err)
}

// CancelPart is Cancel of one shop order, for callers with the permission in its shop.
//
// Errors: invalid_argument, not_found (also if the caller is a stranger to the shop), forbidden, sign_in_again (an
// operator's), conflict, timeout; see Cancel.
func (s *Service) CancelPart(ctx context.Context, partID, reason string) (domain.ShopOrder, error) {
	if err := checkText("reason", reason); err != nil {
		return domain.ShopOrder{}, err
	}
	orderID, err := s.orderOfPart(ctx, partID)
	if err != nil {
		return domain.ShopOrder{}, err
	}
	r := domain.CancelRequest{PartIDs: []string{partID}, By: domain.CancelledByShop, Reason: reason}
	if rpc.Permitted(ctx) {
		if err := rpc.RequireRecentSignIn(ctx, s.Clock.Now()); err != nil { // as CancelOrderAsOperator
			return domain.ShopOrder{}, err
		}
		r.By = domain.CancelledByOperator
	}
	o, err := s.cancel(ctx, orderID, r)
	if err != nil {
		return domain.ShopOrder{}, err
	}
	return withoutBuyer(o.ForShop(partID)), nil
}

// withoutBuyer returns the shop order without its buyer, whose address another service may have: the answer to a change
// that took effect must not fail because of that service.
func withoutBuyer(p domain.ShopOrder) domain.ShopOrder {
	p.Buyer = domain.Buyer{}
	return p
}

// checkText checks what a shop or an operator writes to a customer.
func checkText(path, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errs.InvalidField(path, "must not be blank: the customer reads it")
	case strings.ContainsFunc(text, weblink.Reorders):
		return errs.InvalidField(path, "must not contain line breaks or other control characters")
	case weblink.In(text): // a shop could lead its customers anywhere, in a mail of ours
		return errs.InvalidField(path, "must not contain a web address")
	}
	return nil
}

// Expire begins to cancel what was not shipped of an order that waited too long for its money.
//
// Errors: conflict (all of it was shipped).
func (s *Service) Expire(ctx context.Context, orderID string) error {
	sagaID, _, err := s.beginCancel(ctx, orderID, domain.CancelRequest{By: domain.CancelledByExpiry})
	if err == nil && sagaID != "" {
		s.Runner.Detach(sagaID)
	}
	return err
}

// beginCancel marks the shop orders and starts the saga that cancels them. The saga's ID is "" if there was nothing
// left to mark.
func (s *Service) beginCancel(
	ctx context.Context, orderID string, r domain.CancelRequest,
) (sagaID string, o domain.Order, err error) {
	o, err = s.Store.ChangeAndStart(ctx, orderID, func(o *domain.Order) ([]event.Event, domain.Start, error) {
		start := domain.Start{Type: domain.CancelSaga, ID: id.New("can")}
		begun, err := o.BeginCancel(r, start.ID, s.Clock.Now())
		if err != nil || len(begun) == 0 {
			return nil, domain.Start{}, err
		}
		total, variantIDs, err := o.Share(begun)
		if err != nil {
			return nil, domain.Start{}, err
		}
		sagaID = start.ID
		start.Input = cancelInput{
			OrderID: o.ID, Number: o.Number, CustomerID: o.CustomerID, By: r.By,
			Parts: begun, Variants: variantIDs, Currency: total.Currency(), Amount: total.Minor(),
		}
		return nil, start, nil
	})
	return sagaID, o, err
}

// cancel cancels shop orders and waits until they are cancelled, also those that another caller cancels.
func (s *Service) cancel(ctx context.Context, orderID string, r domain.CancelRequest) (domain.Order, error) {
	_, o, err := s.beginCancel(ctx, orderID, r)
	if err != nil {
		return domain.Order{}, err
	}
	sagaIDs := o.Cancelling(r)
	for _, sagaID := range sagaIDs {
		out, err := s.Runner.Execute(ctx, sagaID)
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
	}
	if len(sagaIDs) == 0 {
		return o, nil
	}
	// The sagas are past their pivots and only go forward.
	wait, cancel := beforeDeadline(ctx)
	defer cancel()
	for pause := minPoll; ; pause = min(2*pause, maxPoll) {
		if o, err = s.Store.ByID(wait, orderID); err != nil || len(o.Cancelling(r)) == 0 {
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
