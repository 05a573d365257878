// Package handler reads the events that notification hears.
package handler

import (
	"souk/apps/notification/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
)

// Subjects are the events that customers are told of.
var Subjects = []string{"evt.order.confirmed", "evt.order.cancelled"}

// Read makes a mail of an event; false when there is nothing to tell.
func Read(c clock.Clock) func(event.Event) (domain.Mail, bool, error) {
	return func(e event.Event) (domain.Mail, bool, error) {
		m := domain.Mail{ID: id.New(id.Mail), Traceparent: e.Metadata["traceparent"], CreatedAt: c.Now()}
		switch e.Subject {
		case "evt.order.confirmed":
			var told orderv1.OrderConfirmed
			if err := e.Decode(&told); err != nil {
				return m, false, err
			}
			m.Kind, m.OrderID = domain.OrderConfirmed, told.GetOrderId()
			return m, true, nil
		case "evt.order.cancelled":
			var told orderv1.OrderCancelled
			if err := e.Decode(&told); err != nil {
				return m, false, err
			}
			m.Kind, m.OrderID = domain.OrderCancelled, told.GetOrderId()
			return m, told.GetWasConfirmed(), nil
		default:
			return m, false, nil
		}
	}
}
