// Package handler reads the events that notification consumes.
package handler

import (
	"fmt"
	"slices"
	"time"

	"souk/apps/notification/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
)

// OrderSubjects are the events of orders that customers and shops are informed about, and ShopSubjects the events of
// shops and their stock.
var (
	OrderSubjects = []string{
		"evt.order.confirmed", "evt.order.cancelled", "evt.order.shipped", "evt.order.delivered",
	}
	ShopSubjects = []string{
		"evt.shop.verified", "evt.shop.suspended", "evt.shop.member_invited", "evt.inventory.low",
	}
)

// Reader reads events. All fields are required.
type Reader struct {
	Clock clock.Clock
	// Hold is how long a mail waits that a cancellation makes needless, or to which more may be added.
	Hold time.Duration
	// GiveUp is the age at which an event needs no mail any more, such as one of a stream that is consumed for the
	// first time.
	GiveUp time.Duration
}

// Read returns the mails that an event needs.
func (r Reader) Read(e event.Event) ([]domain.Mail, error) {
	now := r.Clock.Now()
	if now.Sub(e.Time) > r.GiveUp {
		return nil, nil
	}
	mails, err := read(e)
	for i := range mails {
		m := &mails[i]
		m.ID, m.Traceparent, m.CreatedAt, m.DueAt = id.New(id.Mail), e.Metadata["traceparent"], now, now
		if m.Kind == domain.OrderConfirmed || m.Kind == domain.ShopInvitation || m.Kind.Hourly() > 0 {
			m.DueAt = now.Add(r.Hold)
		}
	}
	return mails, err
}

func read(e event.Event) ([]domain.Mail, error) {
	switch e.Subject {
	case "evt.order.confirmed":
		var p orderv1.OrderConfirmed
		err := e.Decode(&p)
		mails := []domain.Mail{{Kind: domain.OrderConfirmed, OrderID: p.GetOrderId()}}
		for _, part := range p.GetShops() {
			item := domain.Item{OrderID: p.GetOrderId(), ShopOrderID: part.GetShopOrderId()}
			mails = append(
				mails,
				domain.Mail{Kind: domain.NewOrders, ShopID: part.GetShopId(), Items: []domain.Item{item}},
			)
		}
		return mails, err
	case "evt.order.cancelled":
		var p orderv1.OrderCancelled
		if err := e.Decode(&p); err != nil || !p.GetWasConfirmed() {
			return nil, err
		}
		m := domain.Mail{Kind: domain.OrderCancelled, OrderID: p.GetOrderId()}
		m.Unasked = slices.Contains([]string{"shop", "operator", "expired"}, p.GetReason())
		if p.GetPartial() { // there may be several
			m.About = p.GetOrderId() + ":" + p.GetShopOrderIds()[0]
			m.Items = []domain.Item{{OrderID: p.GetOrderId()}}
		}
		return []domain.Mail{m}, nil
	case "evt.order.shipped":
		var p orderv1.OrderShipped
		err := e.Decode(&p)
		return []domain.Mail{partMail(domain.OrderShipped, p.GetOrderId(), p.GetShopOrderId())}, err
	case "evt.order.delivered":
		var p orderv1.OrderDelivered
		err := e.Decode(&p)
		return []domain.Mail{partMail(domain.OrderDelivered, p.GetOrderId(), p.GetShopOrderId())}, err
	case "evt.shop.verified":
		var p shopv1.ShopVerified
		err := e.Decode(&p)
		return []domain.Mail{statusMail(domain.ShopVerified, p.GetShopId(), e)}, err
	case "evt.shop.suspended":
		var p shopv1.ShopSuspended
		err := e.Decode(&p)
		return []domain.Mail{statusMail(domain.ShopSuspended, p.GetShopId(), e)}, err
	case "evt.shop.member_invited":
		var p shopv1.MemberInvited
		err := e.Decode(&p)
		return []domain.Mail{{Kind: domain.ShopInvitation, About: p.GetInvitationId()}}, err
	case "evt.inventory.low":
		var p productv1.InventoryLow
		err := e.Decode(&p)
		item := domain.Item{SKU: p.GetSku(), Title: p.GetTitle(), Available: p.GetAvailable()}
		return []domain.Mail{{Kind: domain.LowStock, ShopID: p.GetShopId(), Items: []domain.Item{item}}}, err
	}
	return nil, nil
}

func partMail(kind domain.Kind, orderID, partID string) domain.Mail {
	return domain.Mail{Kind: kind, About: partID, Items: []domain.Item{{OrderID: orderID, ShopOrderID: partID}}}
}

func statusMail(kind domain.Kind, shopID string, e event.Event) domain.Mail {
	return domain.Mail{Kind: kind, ShopID: shopID, About: fmt.Sprintf("%s:%d", shopID, e.AggregateVersion)}
}
