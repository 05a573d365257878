package service

import (
	"cmp"
	"context"
	"slices"
	"time"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/money"
	"souk/pkg/saga"
)

// cancelInput is the input of a cancellation's saga, with which any process can continue it.
type cancelInput struct {
	OrderID    string `json:"order_id"`
	Number     string `json:"number"`
	CustomerID string `json:"customer_id"`
	// By is a cancel code. Parts are the shop orders to cancel. Both are unset in a saga of the previous release, with
	// which the customer cancels the whole order.
	By    string   `json:"by,omitempty"`
	Parts []string `json:"parts,omitempty"`
	// Variants are those of the shop orders, and Amount is what they cost, in minor units.
	Variants []string       `json:"variants,omitempty"`
	Currency money.Currency `json:"currency,omitempty"`
	Amount   int64          `json:"amount,omitempty"`
}

// cancel defines the sagas that cancel shop orders of an order, the current version and that of the previous release.
// The transaction that starts a saga marks the shop orders, so that they are not shipped any more. The steps wait for
// the end of the checkout's saga, so that there is a single state to undo; then (after the pivot) return the money of
// the shop orders (refund it, or waive cash that was not collected), return their stock, and cancel them. What was
// left of a cash-on-delivery order may be delivered by now: the last step collects its cash.
//
// Several sagas may cancel shop orders of one order at the same time. They touch different lines and shares of the
// payment, so their order does not matter.
func (s *Sagas) cancel() []saga.Definition {
	steps := []saga.Step{
		{Name: "begin", Do: func(context.Context, *saga.Run) error { return nil }, Undo: s.dropCancel},
		{Name: "await_checkout", Do: s.awaitCheckout},
		s.Store.AcceptStep("accept"),
		{Name: "pay_back", Do: s.payBack},
		{Name: "restock", Do: s.restock},
		{Name: "finish", Do: s.finishCancel},
	}
	collect := saga.Step{Name: "collect", Do: s.collectRest}
	return []saga.Definition{
		{Type: domain.CancelSaga, Version: 1, Deadline: s.Deadline, Steps: steps},
		{Type: domain.CancelSaga, Version: 2, Deadline: s.Deadline, Steps: append(slices.Clip(steps), collect)},
	}
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

// payBack refunds the share of the shop orders. Cash that was never collected is waived.
func (s *Sagas) payBack(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	req := &paymentv1.RefundRequest{OrderId: in.OrderID, IdempotencyKey: r.Key()}
	switch {
	case len(in.Parts) == 0: // the whole order; the previous release may have voided its cash already
		voided, err := s.Payments.Void(ctx, &paymentv1.VoidRequest{OrderId: in.OrderID})
		if err == nil {
			return r.Set(resultPayment, paymentOf(voided.GetPayment()))
		}
		if !errs.Is(err, errs.Conflict) {
			return err
		}
	case in.Amount == 0:
		return nil
	default:
		req.Amount = money.New(in.Amount, in.Currency).ToProto()
	}
	refunded, err := s.Payments.Refund(ctx, req)
	if err != nil {
		return err
	}
	return r.Set(resultPayment, paymentOf(refunded.GetPayment()))
}

func paymentOf(p *paymentv1.Payment) domain.Payment {
	return domain.Payment{ID: p.GetId(), Status: p.GetStatus(), Method: p.GetMethod(), Version: p.GetVersion()}
}

func (s *Sagas) restock(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	_, err = s.Products.RestockInventory(ctx,
		&productv1.RestockInventoryRequest{OrderId: in.OrderID, VariantIds: in.Variants})
	return err
}

// finishCancel cancels the shop orders, once.
func (s *Sagas) finishCancel(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	var paid domain.Payment
	if err := r.Get(resultPayment, &paid); err != nil && in.Amount > 0 {
		return err
	}
	o, err := s.Store.Change(ctx, in.OrderID, func(o *domain.Order) ([]event.Event, error) {
		at := s.Clock.Now()
		cancelled := o.FinishCancel(r.ID(), paid, at)
		if len(cancelled) == 0 {
			return nil, nil // an earlier attempt, whose answer was lost
		}
		ev, err := event.New(ctx, SubjectCancelled, o.ID, o.Version, at, &orderv1.OrderCancelled{
			OrderId: o.ID, Number: o.Number, CustomerId: o.CustomerID, WasConfirmed: true,
			Reason:       cmp.Or(in.By, domain.CancelledByCustomer),
			ShopOrderIds: cancelled,
			Shops:        shopParts(o, cancelled),
			Partial:      o.Status != domain.Cancelled,
		})
		return []event.Event{ev}, err
	})
	if err != nil {
		return err
	}
	return r.Set(resultCollect, o.CashCollected())
}

// shopParts describes shop orders of an order.
func shopParts(o *domain.Order, ids []string) []*orderv1.ShopPart {
	var parts []*orderv1.ShopPart
	for _, p := range o.Parts {
		if slices.Contains(ids, p.ID) {
			parts = append(parts, &orderv1.ShopPart{
				ShopOrderId: p.ID, ShopId: p.ShopID, Total: p.Totals.Total.ToProto(),
			})
		}
	}
	return parts
}

// collectRest captures the cash of an order whose last shop orders were delivered before these were cancelled.
func (s *Sagas) collectRest(ctx context.Context, r *saga.Run) error {
	in, err := cancelOf(r)
	if err != nil {
		return err
	}
	var collect bool
	if err := r.Get(resultCollect, &collect); err != nil || !collect {
		return err
	}
	_, err = s.Payments.Capture(ctx, &paymentv1.CaptureRequest{OrderId: in.OrderID})
	return err
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
