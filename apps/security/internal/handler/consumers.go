package handler

import (
	"souk/apps/security/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// TradeSubjects are the events of which [Observed] counts something.
var TradeSubjects = []string{
	"evt.order.confirmed", "evt.order.cancelled", "evt.payment.refunded", "evt.inventory.released",
}

const (
	cash = "cod" // the method of payment

	byCustomer = "customer" // who cancelled an order
	expired    = "expired"  // nobody: cash on delivery that was not shipped in time; also of a reservation

	released = "released" // a reservation that was given up
)

// Observed returns what an event is counted as.
//
// Errors: invalid_argument.
func Observed(e event.Event) ([]domain.Observation, error) {
	one := func(k domain.Kind, subject string, n int64) domain.Observation {
		return domain.Observation{Kind: k, Subject: subject, Count: n, At: e.Time}
	}
	switch e.Subject {
	case "evt.order.confirmed":
		var m orderv1.OrderConfirmed
		if err := e.Decode(&m); err != nil {
			return nil, err
		}
		if m.GetPaymentMethod() == cash {
			return []domain.Observation{one(domain.CashOnDelivery, m.GetCustomerId(), 1)}, nil
		}
		return []domain.Observation{one(domain.PaidOrders, "", 1)}, nil
	case "evt.order.cancelled":
		var m orderv1.OrderCancelled
		if err := e.Decode(&m); err != nil || !m.GetWasConfirmed() { // a refused checkout is no cancellation
			return nil, err
		}
		return []domain.Observation{one(domain.Cancellations, cancelledBy(&m), 1)}, nil
	case "evt.payment.refunded":
		return []domain.Observation{one(domain.Refunds, "", 1)}, nil
	case "evt.inventory.released":
		var m productv1.InventoryReleased
		if err := e.Decode(&m); err != nil {
			return nil, err
		}
		if m.GetReason() != released && m.GetReason() != expired { // restocked: it was paid for, or was to be
			return nil, nil
		}
		var out []domain.Observation
		for _, l := range m.GetLines() {
			if l.GetQuantity() > 0 {
				out = append(out, one(domain.StockHolding, l.GetVariantId(), l.GetQuantity()))
			}
		}
		return out, nil
	}
	return nil, errs.New(errs.Invalid, "event %s has the subject %s, which is not counted", e.ID, e.Subject)
}

// cancelledBy returns the customer on whose account a cancellation is; "" if a shop or an operator cancelled.
func cancelledBy(m *orderv1.OrderCancelled) string {
	if m.GetReason() == byCustomer || m.GetReason() == expired {
		return m.GetCustomerId()
	}
	return ""
}
