// Package handler reads the events that notification consumes.
package handler

import (
	"fmt"
	"slices"
	"time"

	"souk/apps/notification/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
)

// OrderSubjects are the events of orders and their payments that customers and shops are informed about, and
// ShopSubjects the events of shops and their stock. CustomerSubjects are those of customers without an order.
var (
	OrderSubjects = []string{
		"evt.order.confirmed",
		"evt.order.cancelled",
		"evt.order.shipped",
		"evt.order.delivered",
		"evt.payment.refunded",
	}
	ShopSubjects = []string{
		"evt.shop.verified", "evt.shop.suspended", "evt.shop.member_invited", "evt.inventory.low",
	}
	CustomerSubjects = []string{"evt.cart.abandoned"}
)

// Reader reads events. All fields are required.
type Reader struct {
	Clock clock.Clock
	// Hold is how long a notice waits that a cancellation makes needless, or to which more may be added.
	Hold time.Duration
	// GiveUp is the age at which an event needs no notice any more, such as one of a stream that is consumed for the
	// first time.
	GiveUp time.Duration
}

// Read returns the notices that an event makes.
func (r Reader) Read(e event.Event) ([]domain.Notice, error) {
	now := r.Clock.Now()
	if now.Sub(e.Time) > r.GiveUp {
		return nil, nil
	}
	notices, err := read(e)
	for i := range notices {
		n := &notices[i]
		n.ID, n.Traceparent, n.CreatedAt, n.DueAt = id.New(id.Notice), e.Metadata["traceparent"], now, now
		if n.Kind.Rule().Held {
			n.DueAt = now.Add(r.Hold)
		}
	}
	return notices, err
}

func read(e event.Event) ([]domain.Notice, error) {
	switch e.Subject {
	case "evt.order.confirmed":
		var p orderv1.OrderConfirmed
		err := e.Decode(&p)
		notices := []domain.Notice{{Kind: domain.OrderConfirmed, OrderID: p.GetOrderId()}}
		for _, part := range p.GetShops() {
			item := domain.Item{OrderID: p.GetOrderId(), ShopOrderID: part.GetShopOrderId()}
			notices = append(
				notices,
				domain.Notice{Kind: domain.NewOrders, ShopID: part.GetShopId(), Items: []domain.Item{item}},
			)
		}
		return notices, err
	case "evt.order.cancelled":
		var p orderv1.OrderCancelled
		if err := e.Decode(&p); err != nil || !p.GetWasConfirmed() {
			return nil, err
		}
		m := domain.Notice{Kind: domain.OrderCancelled, OrderID: p.GetOrderId()}
		m.Unasked = slices.Contains([]string{"shop", "operator", "expired"}, p.GetReason())
		if p.GetPartial() { // there may be several
			m.About = p.GetOrderId() + ":" + p.GetShopOrderIds()[0]
			m.Items = []domain.Item{{OrderID: p.GetOrderId()}}
		}
		notices := []domain.Notice{m}
		if p.GetReason() == "shop" { // it knows
			return notices, nil
		}
		for _, partID := range p.GetShopOrderIds() {
			notices = append(notices, partNotice(domain.ShopOrderCancelled, p.GetOrderId(), partID))
		}
		return notices, nil
	case "evt.order.shipped":
		var p orderv1.OrderShipped
		err := e.Decode(&p)
		return []domain.Notice{partNotice(domain.OrderShipped, p.GetOrderId(), p.GetShopOrderId())}, err
	case "evt.order.delivered":
		var p orderv1.OrderDelivered
		err := e.Decode(&p)
		return []domain.Notice{partNotice(domain.OrderDelivered, p.GetOrderId(), p.GetShopOrderId())}, err
	case "evt.payment.refunded":
		var p paymentv1.PaymentRefunded
		err := e.Decode(&p)
		paid := p.GetAmount().GetCurrencyCode() + " " + p.GetAmount().GetAmount()
		return []domain.Notice{{
			Kind: domain.PaymentRefunded, About: p.GetPaymentId() + ":" + p.GetTotalRefunded().GetAmount(),
			Items: []domain.Item{{OrderID: p.GetOrderId(), Amount: paid}},
		}}, err
	case "evt.cart.abandoned":
		var p cartv1.CartAbandoned
		err := e.Decode(&p)
		return []domain.Notice{{
			Kind: domain.CartAbandoned, About: fmt.Sprintf("%s:%d", p.GetUserId(), p.GetCartVersion()),
			Items: []domain.Item{{UserID: p.GetUserId(), CartVersion: p.GetCartVersion()}},
		}}, err
	case "evt.shop.verified":
		var p shopv1.ShopVerified
		err := e.Decode(&p)
		return []domain.Notice{statusNotice(domain.ShopVerified, p.GetShopId(), e)}, err
	case "evt.shop.suspended":
		var p shopv1.ShopSuspended
		err := e.Decode(&p)
		return []domain.Notice{statusNotice(domain.ShopSuspended, p.GetShopId(), e)}, err
	case "evt.shop.member_invited":
		var p shopv1.MemberInvited
		err := e.Decode(&p)
		return []domain.Notice{{Kind: domain.ShopInvitation, About: p.GetInvitationId()}}, err
	case "evt.inventory.low":
		var p productv1.InventoryLow
		err := e.Decode(&p)
		item := domain.Item{SKU: p.GetSku(), Title: p.GetTitle(), Available: p.GetAvailable()}
		return []domain.Notice{{Kind: domain.LowStock, ShopID: p.GetShopId(), Items: []domain.Item{item}}}, err
	}
	return nil, nil
}

func partNotice(kind domain.Kind, orderID, partID string) domain.Notice {
	return domain.Notice{Kind: kind, About: partID, Items: []domain.Item{{OrderID: orderID, ShopOrderID: partID}}}
}

func statusNotice(kind domain.Kind, shopID string, e event.Event) domain.Notice {
	return domain.Notice{Kind: kind, ShopID: shopID, About: fmt.Sprintf("%s:%d", shopID, e.AggregateVersion)}
}
