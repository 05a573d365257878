package handler

import (
	"souk/apps/order/internal/domain"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/event"
)

// PaymentSubjects are the events of payment that orders hear. What was initiated or voided they know themselves.
var PaymentSubjects = []string{"evt.payment.completed", "evt.payment.failed", "evt.payment.refunded"}

// PaymentNews reads what payment tells; false for an event that orders do not care about.
func PaymentNews(e event.Event) (domain.PaymentNews, bool, error) {
	n := domain.PaymentNews{Version: e.AggregateVersion, At: e.Time}
	switch e.Subject {
	case "evt.payment.completed":
		var m paymentv1.PaymentCompleted
		if err := e.Decode(&m); err != nil {
			return n, false, err
		}
		n.OrderID, n.PaymentID, n.Status = m.GetOrderId(), m.GetPaymentId(), "captured"
	case "evt.payment.failed":
		var m paymentv1.PaymentFailed
		if err := e.Decode(&m); err != nil {
			return n, false, err
		}
		n.OrderID, n.PaymentID, n.Status = m.GetOrderId(), m.GetPaymentId(), "failed"
	case "evt.payment.refunded":
		var m paymentv1.PaymentRefunded
		if err := e.Decode(&m); err != nil {
			return n, false, err
		}
		n.OrderID, n.PaymentID, n.Status = m.GetOrderId(), m.GetPaymentId(), m.GetStatus()
	default:
		return n, false, nil
	}
	return n, true, nil
}
