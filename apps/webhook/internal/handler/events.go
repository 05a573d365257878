package handler

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"souk/apps/webhook/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	commentv1 "souk/gen/go/souk/comment/v1"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/jsonpb"
)

// EventSubjects are the events that are sent to webhooks.
var EventSubjects = []string{
	"evt.cart.abandoned",
	"evt.inventory.low", "evt.inventory.released", "evt.inventory.reserved",
	"evt.notification.sent",
	"evt.order.cancelled", "evt.order.confirmed", "evt.order.created", "evt.order.delivered", "evt.order.shipped",
	"evt.payment.completed", "evt.payment.failed", "evt.payment.initiated", "evt.payment.refunded",
	"evt.product.created", "evt.product.deleted", "evt.product.updated",
	"evt.review.deleted", "evt.review.edited", "evt.review.moderated", "evt.review.posted",
	"evt.review.rating_changed", "evt.review.replied", "evt.review.voted",
	"evt.shop.member_invited", "evt.shop.registered", "evt.shop.suspended", "evt.shop.updated", "evt.shop.verified",
	"evt.user.email_changed", "evt.user.new_device", "evt.user.registered", "evt.user.reinstated",
	"evt.user.suspended", "evt.user.updated",
	"evt.voucher.redeemed", "evt.voucher.released", "evt.voucher.used_up",
}

// operatorsOnly are those that concern no shop, or name none.
var operatorsOnly = []string{
	"evt.cart.abandoned",
	"evt.notification.sent", "evt.order.created",
	"evt.payment.completed", "evt.payment.failed", "evt.payment.initiated", "evt.payment.refunded",
	"evt.review.rating_changed",
	"evt.user.email_changed", "evt.user.new_device", "evt.user.registered", "evt.user.reinstated",
	"evt.user.suspended", "evt.user.updated",
}

// ShopEvents are those that webhooks of shops get.
var ShopEvents = slices.DeleteFunc(slices.Clone(EventSubjects),
	func(s string) bool { return slices.Contains(operatorsOnly, s) })

// payloads makes a message for each type of payload.
var payloads = func() map[string]func() proto.Message {
	all := map[string]func() proto.Message{}
	for _, m := range []proto.Message{
		&cartv1.CartAbandoned{},
		&productv1.InventoryLow{}, &productv1.InventoryReleased{}, &productv1.InventoryReserved{},
		&notificationv1.NotificationSent{},
		&orderv1.OrderCancelled{}, &orderv1.OrderConfirmed{}, &orderv1.OrderCreated{}, &orderv1.OrderDelivered{},
		&orderv1.OrderShipped{},
		&paymentv1.PaymentCompleted{}, &paymentv1.PaymentFailed{}, &paymentv1.PaymentInitiated{},
		&paymentv1.PaymentRefunded{},
		&productv1.ProductCreated{}, &productv1.ProductDeleted{}, &productv1.ProductUpdated{},
		&commentv1.ReviewDeleted{}, &commentv1.ReviewEdited{}, &commentv1.ReviewModerated{}, &commentv1.ReviewPosted{},
		&commentv1.RatingChanged{}, &commentv1.ReviewReplied{}, &commentv1.ReviewVoted{},
		&shopv1.MemberInvited{}, &shopv1.ShopRegistered{}, &shopv1.ShopSuspended{}, &shopv1.ShopUpdated{},
		&shopv1.ShopVerified{},
		&userv1.EmailChanged{}, &userv1.NewDevice{}, &userv1.UserRegistered{},
		&userv1.UserReinstated{}, &userv1.UserSuspended{}, &userv1.UserUpdated{},
		&voucherv1.VouchersRedeemed{}, &voucherv1.VouchersReleased{}, &voucherv1.VoucherUsedUp{},
	} {
		r := m.ProtoReflect()
		all[string(r.Descriptor().FullName())] = func() proto.Message { return r.New().Interface() }
	}
	return all
}()

// Read returns what an event says to webhooks: all of it to those of the marketplace, and to each shop what concerns
// it.
func Read(e event.Event) ([]domain.Message, error) {
	newPayload := payloads[e.Type]
	if newPayload == nil {
		return nil, errs.New(errs.Invalid, "event %s is a %s, which no webhook gets", e.ID, e.Type)
	}
	p := newPayload()
	if err := e.Decode(p); err != nil {
		return nil, err
	}
	whole, err := message(e, "", p)
	if err != nil {
		return nil, err
	}
	out := []domain.Message{whole}
	if !slices.Contains(ShopEvents, e.Subject) {
		return out, nil
	}
	for _, shopID := range shopsOf(p) {
		m, err := message(e, shopID, viewOf(shopID, p))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// inShop is what belongs to a shop: an event, or a part of one.
type inShop interface{ GetShopId() string }

// shopsOf returns the shops that an event concerns.
func shopsOf(p proto.Message) []string {
	switch p := p.(type) {
	case *orderv1.OrderConfirmed:
		return shopsIn(p.GetShops())
	case *orderv1.OrderCancelled:
		return shopsIn(p.GetShops()) // a refused checkout, of which no shop knows, lists no shop
	case *productv1.InventoryReserved:
		return shopsIn(p.GetLines())
	case *productv1.InventoryReleased:
		return shopsIn(p.GetLines())
	case *voucherv1.VouchersRedeemed:
		return shopsIn(p.GetVouchers())
	case *voucherv1.VouchersReleased:
		return shopsIn(p.GetVouchers())
	case inShop:
		return shopsIn([]inShop{p})
	}
	return nil
}

func shopsIn[T inShop](parts []T) []string {
	var out []string
	for _, p := range parts {
		if shopID := p.GetShopId(); shopID != "" && !slices.Contains(out, shopID) {
			out = append(out, shopID)
		}
	}
	return out
}

// viewOf returns what a shop may know of an event: its own parts of an order, and not whose order it is.
func viewOf(shopID string, p proto.Message) proto.Message {
	switch p := p.(type) {
	case *orderv1.OrderConfirmed:
		return &orderv1.OrderConfirmed{OrderId: p.GetOrderId(), Number: p.GetNumber(), Shops: of(shopID, p.GetShops())}
	case *orderv1.OrderCancelled:
		own := of(shopID, p.GetShops())
		v := &orderv1.OrderCancelled{
			OrderId: p.GetOrderId(), Number: p.GetNumber(), Reason: p.GetReason(), WasConfirmed: p.GetWasConfirmed(),
			Partial: p.GetPartial(), Shops: own,
		}
		for _, part := range own {
			v.ShopOrderIds = append(v.ShopOrderIds, part.GetShopOrderId())
		}
		return v
	case *productv1.InventoryReserved:
		return &productv1.InventoryReserved{OrderId: p.GetOrderId(), Lines: of(shopID, p.GetLines())}
	case *productv1.InventoryReleased:
		return &productv1.InventoryReleased{
			OrderId: p.GetOrderId(), Lines: of(shopID, p.GetLines()), Reason: p.GetReason(),
		}
	case *voucherv1.VouchersRedeemed:
		return &voucherv1.VouchersRedeemed{OrderId: p.GetOrderId(), Vouchers: of(shopID, p.GetVouchers())}
	case *voucherv1.VouchersReleased:
		return &voucherv1.VouchersReleased{OrderId: p.GetOrderId(), Vouchers: of(shopID, p.GetVouchers())}
	}
	return p
}

// of returns the parts that belong to a shop.
func of[T inShop](shopID string, parts []T) []T {
	return slices.DeleteFunc(slices.Clone(parts), func(p T) bool { return p.GetShopId() != shopID })
}

// message is what is sent, in the form that Standard Webhooks recommends.
func message(e event.Event, shopID string, p proto.Message) (domain.Message, error) {
	data, err := jsonpb.Append(nil, p)
	if err != nil {
		return domain.Message{}, errs.Wrap(err, errs.Internal, "event %s cannot be written as JSON", e.ID)
	}
	return domain.Message{
		EventID: e.ID, Event: e.Subject, ShopID: shopID, At: e.Time,
		Body: domain.Body(e.Subject, e.Time.Format(time.RFC3339Nano), data),
	}, nil
}
