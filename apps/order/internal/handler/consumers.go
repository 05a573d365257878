package handler

import (
	"souk/apps/order/internal/domain"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/event"
)

// PaymentSubjects are the payment events that order consumes. It needs no events about authorizing and voiding,
// because its own sagas do both.
var PaymentSubjects = []string{"evt.payment.completed", "evt.payment.failed", "evt.payment.refunded"}

// SalesSubjects are order's own events after which it counts what shops sold.
var SalesSubjects = []string{"evt.order.confirmed", "evt.order.cancelled"}

// PaymentUpdate decodes a payment event. It returns false for an event that does not concern orders.
func PaymentUpdate(e event.Event) (domain.PaymentUpdate, bool, error) {
	u := domain.PaymentUpdate{Version: e.AggregateVersion, At: e.Time}
	switch e.Subject {
	case "evt.payment.completed":
		var m paymentv1.PaymentCompleted
		if err := e.Decode(&m); err != nil {
			return u, false, err
		}
		u.OrderID, u.PaymentID, u.Status = m.GetOrderId(), m.GetPaymentId(), "captured"
	case "evt.payment.failed":
		var m paymentv1.PaymentFailed
		if err := e.Decode(&m); err != nil {
			return u, false, err
		}
		u.OrderID, u.PaymentID, u.Status = m.GetOrderId(), m.GetPaymentId(), "failed"
	case "evt.payment.refunded":
		var m paymentv1.PaymentRefunded
		if err := e.Decode(&m); err != nil {
			return u, false, err
		}
		u.OrderID, u.PaymentID, u.Status = m.GetOrderId(), m.GetPaymentId(), m.GetStatus()
	default:
		return u, false, nil
	}
	return u, true, nil
}
