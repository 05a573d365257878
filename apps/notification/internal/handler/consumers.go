// Package handler reads the events that notification consumes.
package handler

import (
	"souk/apps/notification/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
)

// Subjects are the events that customers are informed about.
var Subjects = []string{"evt.order.confirmed", "evt.order.cancelled"}

// Read returns a function that makes a mail of an event; it returns false if the event needs no mail.
func Read(c clock.Clock) func(event.Event) (domain.Mail, bool, error) {
	return func(e event.Event) (domain.Mail, bool, error) {
		m := domain.Mail{ID: id.New(id.Mail), Traceparent: e.Metadata["traceparent"], CreatedAt: c.Now()}
		switch e.Subject {
		case "evt.order.confirmed":
			var payload orderv1.OrderConfirmed
			if err := e.Decode(&payload); err != nil {
				return m, false, err
			}
			m.Kind, m.OrderID = domain.OrderConfirmed, payload.GetOrderId()
			return m, true, nil
		case "evt.order.cancelled":
			var payload orderv1.OrderCancelled
			if err := e.Decode(&payload); err != nil {
				return m, false, err
			}
			m.Kind, m.OrderID = domain.OrderCancelled, payload.GetOrderId()
			return m, payload.GetWasConfirmed(), nil
		default:
			return m, false, nil
		}
	}
}
