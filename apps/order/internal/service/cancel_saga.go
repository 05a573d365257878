package service

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/saga"
)

// cancelInput is the input of a cancellation's saga, with which any process can continue it.
type cancelInput struct {
	OrderID    string `json:"order_id"`
	Number     string `json:"number"`
	CustomerID string `json:"customer_id"`
}

// cancel defines the saga that cancels an order. The transaction that starts the saga marks the order, so that no
// shop order is shipped any more. The steps wait for the end of the checkout's saga, so that there is a single
// state to undo; then (after the pivot) return the money (void or refund), return the stock, and cancel the order.
func (s *Sagas) cancel() saga.Definition {
	return saga.Definition{Type: domain.CancelSaga, Version: 1, Deadline: s.Deadline, Steps: []saga.Step{
		{Name: "begin", Do: func(context.Context, *saga.Run) error { return nil }, Undo: s.dropCancel},
		{Name: "await_checkout", Do: s.awaitCheckout},
		s.Store.AcceptStep("accept"),
		{Name: "pay_back", Do: s.payBack},
		{Name: "restock", Do: s.restock},
		s.Store.CancelStep("finish", s.cancellation),
	}}
}

func cancelOf(r *saga.Run) (cancelInput, error) {
	var in cancelInput
	err := r.Input(&in)
	return in, err
}

func (s *Sagas) dropCancel(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	_, err = s.Store.Change(ctx, in.OrderID, func(o *domain.Order) ([]event.Event, error) {
		o.DropCancel(r.ID(), s.Clock.Now())
		return nil, nil
	})
	return err
}

func (s *Sagas) awaitCheckout(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	ended, err := s.Store.CheckoutEnded(ctx, in.OrderID)
	if err == nil && !ended {
		err = errs.New(errs.Unavailable, "the checkout of this order has not ended yet")
	}
	return err
}

// payBack voids a payment that is only authorized (cash that was never collected), and refunds a captured one.
func (s *Sagas) payBack(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	voided, err := s.Payments.Void(ctx, &paymentv1.VoidRequest{OrderId: in.OrderID})
	switch {
	case err == nil:
		return r.Set(resultStatus, voided.GetPayment().GetStatus())
	case !errs.Is(err, errs.Conflict):
		return err
	}
	refunded, err := s.Payments.Refund(ctx, &paymentv1.RefundRequest{OrderId: in.OrderID, IdempotencyKey: r.Key()})
	if err != nil {
		return err
	}
	return r.Set(resultStatus, refunded.GetPayment().GetStatus())
}

func (s *Sagas) restock(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	_, err = s.Products.RestockInventory(ctx, &productv1.RestockInventoryRequest{OrderId: in.OrderID})
	return err
}

func (s *Sagas) cancellation(r *saga.Run) (domain.Cancellation, event.Event, error) {
	in, err := cancelOf(r)
	if err != nil {
		return domain.Cancellation{}, event.Event{}, err
	}
	c := domain.Cancellation{OrderID: in.OrderID, At: s.Clock.Now()}
	if err := r.Get(resultStatus, &c.PaymentStatus); err != nil {
		return c, event.Event{}, err
	}
	// The event has no version: payment events may have incremented the order's version since the cancellation
	// began.
	ev, err := event.New(r.Context(), SubjectCancelled, in.OrderID, 0, c.At, &orderv1.OrderCancelled{
		OrderId:      in.OrderID,
		Number:       in.Number,
		CustomerId:   in.CustomerID,
		Reason:       domain.CancelledByCustomer,
		WasConfirmed: true,
	})
	return c, ev, err
}

// collect defines the saga that captures the cash of an order whose last shop order was delivered.
func (s *Sagas) collect() saga.Definition {
	return saga.Definition{Type: domain.CollectSaga, Version: 1, Deadline: 24 * time.Hour, Steps: []saga.Step{
		s.Store.AcceptStep("delivered"),
		{Name: "capture", Do: func(ctx context.Context, r *saga.Run) error {
			in, err := cancelOf(r)
			if err != nil {
				return err
			}
			_, err = s.Payments.Capture(ctx, &paymentv1.CaptureRequest{OrderId: in.OrderID})
			return err
		}},
	}}
}
