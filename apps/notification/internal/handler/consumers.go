// Package handler reads the events that notification consumes.
package handler

import (
	"fmt"
	"slices"
	"time"

	"souk/apps/notification/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	commentv1 "souk/gen/go/souk/comment/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
)

// OrderSubjects are the events of orders and their payments that customers and shops are informed about, and
// ShopSubjects the events of shops, their stock and vouchers. CustomerSubjects are those of customers without an order:
// their carts, reviews and accounts.
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
		"evt.voucher.used_up",
	}
	CustomerSubjects = []string{
		"evt.cart.abandoned", "evt.review.posted", "evt.review.moderated", "evt.review.replied",
		"evt.user.new_device", "evt.user.email_changed", "evt.user.suspended", "evt.user.reinstated",
	}
)

// Reader reads events. All fields are required.
type Reader struct {
	Clock clock.Clock
	// Hold returns how long a notice waits that a cancellation makes needless, or to which more may be added.
	Hold func() time.Duration
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
			n.DueAt = now.Add(r.Hold())
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
	case "evt.voucher.used_up":
		var p voucherv1.VoucherUsedUp
		if err := e.Decode(&p); err != nil || p.GetShopId() == "" { // one of the marketplace
			return nil, err
		}
		return []domain.Notice{{
			// Once a day, also if an order of its last use is cancelled and placed again and again.
			Kind: domain.VoucherUsedUp, ShopID: p.GetShopId(),
			About: p.GetVoucherId() + ":" + e.Time.UTC().Format(time.DateOnly),
			Items: []domain.Item{{VoucherID: p.GetVoucherId()}},
		}}, nil
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
	return readCustomer(e)
}

// readCustomer returns the notices that an event about a customer makes.
func readCustomer(e event.Event) ([]domain.Notice, error) {
	switch e.Subject {
	case "evt.cart.abandoned":
		var p cartv1.CartAbandoned
		err := e.Decode(&p)
		return []domain.Notice{{
			Kind: domain.CartAbandoned, About: fmt.Sprintf("%s:%d", p.GetUserId(), p.GetCartVersion()),
			Items: []domain.Item{{UserID: p.GetUserId(), CartVersion: p.GetCartVersion()}},
		}}, err
	case "evt.review.posted":
		var p commentv1.ReviewPosted
		if err := e.Decode(&p); err != nil || p.GetStatus() != published {
			return nil, err
		}
		return []domain.Notice{newReview(p.GetShopId(), p.GetReviewId())}, nil
	case "evt.review.moderated":
		var p commentv1.ReviewModerated
		if err := e.Decode(&p); err != nil || p.GetStatus() != published && p.GetStatus() != "rejected" {
			return nil, err // reports have held it: an operator will decide
		}
		notices := []domain.Notice{{
			Kind: domain.ReviewModerated, About: p.GetReviewId() + ":" + e.ID,
			Items: []domain.Item{{UserID: p.GetAuthorId(), ReviewID: p.GetReviewId()}},
		}}
		if p.GetFirstPublished() {
			notices = append(notices, newReview(p.GetShopId(), p.GetReviewId()))
		}
		return notices, nil
	case "evt.review.replied":
		var p commentv1.ReviewReplied
		err := e.Decode(&p)
		return []domain.Notice{
			{
				Kind:   domain.ReviewReplied,
				ShopID: p.GetShopId(),
				About:  p.GetReviewId(), // once, however often it is changed
				Items:  []domain.Item{{UserID: p.GetAuthorId(), ReviewID: p.GetReviewId()}},
			},
		}, err
	case "evt.user.new_device":
		var p userv1.NewDevice
		err := e.Decode(&p)
		return []domain.Notice{accountNotice(domain.NewDevice, p.GetUserId(), e)}, err
	case "evt.user.email_changed":
		var p userv1.EmailChanged
		err := e.Decode(&p)
		return []domain.Notice{accountNotice(domain.EmailChanged, p.GetUserId(), e)}, err
	case "evt.user.suspended":
		var p userv1.UserSuspended
		err := e.Decode(&p)
		return []domain.Notice{accountNotice(domain.AccountSuspended, p.GetUserId(), e)}, err
	case "evt.user.reinstated":
		var p userv1.UserReinstated
		err := e.Decode(&p)
		return []domain.Notice{accountNotice(domain.AccountReinstated, p.GetUserId(), e)}, err
	}
	return nil, nil
}

// published is the status of a review that everybody sees.
const published = "published"

func newReview(shopID, reviewID string) domain.Notice {
	return domain.Notice{Kind: domain.ReviewPosted, ShopID: shopID, Items: []domain.Item{{ReviewID: reviewID}}}
}

func accountNotice(kind domain.Kind, userID string, e event.Event) domain.Notice {
	return domain.Notice{Kind: kind, About: userID + ":" + e.ID, Items: []domain.Item{{UserID: userID}}}
}

func partNotice(kind domain.Kind, orderID, partID string) domain.Notice {
	return domain.Notice{Kind: kind, About: partID, Items: []domain.Item{{OrderID: orderID, ShopOrderID: partID}}}
}

func statusNotice(kind domain.Kind, shopID string, e event.Event) domain.Notice {
	return domain.Notice{Kind: kind, ShopID: shopID, About: fmt.Sprintf("%s:%d", shopID, e.AggregateVersion)}
}
