// Package handler serves order's contract and decodes the events that order consumes.
package handler

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/metric"
	"souk/pkg/money"
	"souk/pkg/page"
	"souk/pkg/rpc"
)

// RPC is the gRPC server of OrderService.
type RPC struct {
	orderv1.UnimplementedOrderServiceServer
	service   *service.Service
	checkouts *prometheus.CounterVec
	amounts   *prometheus.CounterVec
	stockOuts prometheus.Counter
}

// New returns the server. It registers checkout_total, checkout_amount_total and stock_out_total with r.
func New(s *service.Service, r prometheus.Registerer) (*RPC, error) {
	checkouts, err := metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "checkout_total",
		Help: "Checkouts by outcome: placed, or the code of the refusal. A repetition with the same key counts again.",
	}, []string{"outcome"}))
	if err != nil {
		return nil, err
	}
	amounts, err := metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "checkout_amount_total",
		Help: "Totals of placed orders in units of their currency. Cancellations and refunds are not subtracted.",
	}, []string{"currency"}))
	if err != nil {
		return nil, err
	}
	stockOuts, err := metric.Register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "stock_out_total",
		Help: "Lines of checkouts that were refused because pieces were missing or not for sale.",
	}))
	return &RPC{service: s, checkouts: checkouts, amounts: amounts, stockOuts: stockOuts}, err
}

// Checkout places an order of the caller's cart.
//
// Errors: those of service.Service.Checkout.
func (h *RPC) Checkout(ctx context.Context, r *orderv1.CheckoutRequest) (*orderv1.CheckoutResponse, error) {
	expected, err := money.FromField("expectedTotal", r.GetExpectedTotal())
	if err != nil {
		return nil, err
	}
	o, err := h.service.Checkout(ctx, domain.Request{
		IdemKey: rpc.IdempotencyKey(ctx), Address: addressFromProto(r.GetShippingAddress()),
		AddressID:     r.GetAddressId(),
		PaymentMethod: r.GetPayment().GetMethod(), Token: r.GetPayment().GetToken(),
		VoucherCodes: r.GetVoucherCodes(), Email: r.GetEmail(), ExpectedTotal: expected,
	})
	if err != nil {
		e := errs.From(err)
		h.checkouts.WithLabelValues(string(e.Code)).Inc()
		if e.Code == errs.OutOfStock {
			h.stockOuts.Add(float64(len(e.Fields)))
		}
		return nil, err
	}
	h.checkouts.WithLabelValues("placed").Inc()
	total := o.Totals.Total
	if units, err := strconv.ParseFloat(total.Amount(), 64); err == nil && units > 0 { // a metric, not an account
		h.amounts.WithLabelValues(string(total.Currency())).Add(units)
	}
	return &orderv1.CheckoutResponse{Order: orderToProto(o)}, nil
}

// QuoteCart says what a checkout of the caller's cart would cost.
//
// Errors: those of service.Service.Quote.
func (h *RPC) QuoteCart(ctx context.Context, r *orderv1.QuoteCartRequest) (*orderv1.QuoteCartResponse, error) {
	q, err := h.service.Quote(ctx, domain.Request{
		Address: addressFromProto(r.GetShippingAddress()), AddressID: r.GetAddressId(),
		VoucherCodes: r.GetVoucherCodes(), Email: r.GetEmail(),
	})
	if err != nil {
		return nil, err
	}
	return &orderv1.QuoteCartResponse{Quote: q}, nil
}

// GetOrder returns one of the caller's orders.
//
// Errors: not_found (also for another customer's order).
func (h *RPC) GetOrder(ctx context.Context, r *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	o, err := h.service.Get(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.GetOrderResponse{Order: orderToProto(o)}, nil
}

// GetOrderForNotice returns any order to the notification service.
//
// Errors: not_found.
func (h *RPC) GetOrderForNotice(
	ctx context.Context, r *orderv1.GetOrderForNoticeRequest,
) (*orderv1.GetOrderForNoticeResponse, error) {
	o, err := h.service.ForNotice(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.GetOrderForNoticeResponse{Order: orderToProto(o), Email: o.Email, CustomerId: o.CustomerID}, nil
}

// CancelOrder cancels one of the caller's orders.
//
// Errors: those of service.Service.Cancel.
func (h *RPC) CancelOrder(ctx context.Context, r *orderv1.CancelOrderRequest) (*orderv1.CancelOrderResponse, error) {
	o, err := h.service.Cancel(ctx, r.GetId(), r.GetReason(), r.GetShopOrderIds())
	if err != nil {
		return nil, err
	}
	return &orderv1.CancelOrderResponse{Order: orderToProto(o)}, nil
}

// CancelOrderAsOperator cancels what was not shipped of any order.
//
// Errors: those of service.Service.CancelAsOperator.
func (h *RPC) CancelOrderAsOperator(
	ctx context.Context, r *orderv1.CancelOrderAsOperatorRequest,
) (*orderv1.CancelOrderAsOperatorResponse, error) {
	o, err := h.service.CancelAsOperator(ctx, r.GetId(), r.GetReason())
	if err != nil {
		return nil, err
	}
	return &orderv1.CancelOrderAsOperatorResponse{Order: orderToProto(o)}, nil
}

// EraseGuest erases what orders say about a guest.
//
// Errors: those of service.Service.EraseGuest.
func (h *RPC) EraseGuest(ctx context.Context, r *orderv1.EraseGuestRequest) (*orderv1.EraseGuestResponse, error) {
	return &orderv1.EraseGuestResponse{}, h.service.EraseGuest(ctx, r.GetId())
}

// HasUnshipped reports whether something of a customer's orders is to be shipped.
//
// Errors: those of service.Service.HasUnshipped.
func (h *RPC) HasUnshipped(
	ctx context.Context, r *orderv1.HasUnshippedRequest,
) (*orderv1.HasUnshippedResponse, error) {
	yes, err := h.service.HasUnshipped(ctx, r.GetCustomerId())
	return &orderv1.HasUnshippedResponse{Unshipped: yes}, err
}

// GetShopOrder returns a shop order to a member of its shop or an operator.
//
// Errors: those of service.Service.GetPart.
func (h *RPC) GetShopOrder(ctx context.Context, r *orderv1.GetShopOrderRequest) (*orderv1.GetShopOrderResponse, error) {
	p, err := h.service.GetPart(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.GetShopOrderResponse{ShopOrder: shopOrderToProto(p)}, nil
}

// CancelShopOrder cancels a shop order.
//
// Errors: those of service.Service.CancelPart.
func (h *RPC) CancelShopOrder(
	ctx context.Context, r *orderv1.CancelShopOrderRequest,
) (*orderv1.CancelShopOrderResponse, error) {
	p, err := h.service.CancelPart(ctx, r.GetId(), r.GetReason())
	if err != nil {
		return nil, err
	}
	return &orderv1.CancelShopOrderResponse{ShopOrder: shopOrderToProto(p)}, nil
}

// ShipShopOrder marks a shop order as shipped.
//
// Errors: those of service.Service.Ship.
func (h *RPC) ShipShopOrder(
	ctx context.Context, r *orderv1.ShipShopOrderRequest,
) (*orderv1.ShipShopOrderResponse, error) {
	p, err := h.service.Ship(ctx, r.GetId(), r.GetCarrier(), r.GetTrackingNumber())
	if err != nil {
		return nil, err
	}
	return &orderv1.ShipShopOrderResponse{ShopOrder: shopOrderToProto(p)}, nil
}

// DeliverShopOrder marks a shop order as delivered.
//
// Errors: those of service.Service.Deliver.
func (h *RPC) DeliverShopOrder(
	ctx context.Context, r *orderv1.DeliverShopOrderRequest,
) (*orderv1.DeliverShopOrderResponse, error) {
	p, err := h.service.Deliver(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.DeliverShopOrderResponse{ShopOrder: shopOrderToProto(p)}, nil
}

// FindPurchase says whether a customer has bought a product.
//
// Errors: unavailable.
func (h *RPC) FindPurchase(
	ctx context.Context, r *orderv1.FindPurchaseRequest,
) (*orderv1.FindPurchaseResponse, error) {
	shopID, err := h.service.FindPurchase(ctx, r.GetCustomerId(), r.GetProductId())
	if err != nil {
		return nil, err
	}
	return &orderv1.FindPurchaseResponse{Purchased: shopID != "", ShopId: shopID}, nil
}

// AdoptOrders transfers a guest's orders to a user.
//
// Errors: those of service.Service.Adopt.
func (h *RPC) AdoptOrders(ctx context.Context, r *orderv1.AdoptOrdersRequest) (*orderv1.AdoptOrdersResponse, error) {
	if err := h.service.Adopt(ctx, r.GetGuestId(), r.GetUserId()); err != nil {
		return nil, err
	}
	return &orderv1.AdoptOrdersResponse{}, nil
}

// newest returns the position of the first page; it is newer than every row.
func newest() domain.Position {
	return domain.Position{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// ListOrders lists the caller's orders, newest first.
//
// Errors: invalid_argument (the page token is invalid).
func (h *RPC) ListOrders(ctx context.Context, r *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error) {
	request := page.Of(r, "orders of "+identity.FromContext(ctx).ID)
	orders, next, err := page.List(ctx, request, newest(), h.service.List, domain.Order.Position)
	if err != nil {
		return nil, err
	}
	out := &orderv1.ListOrdersResponse{NextPageToken: next}
	for _, o := range orders {
		out.Orders = append(out.Orders, orderToProto(o))
	}
	return out, nil
}

// ListShopOrders lists a shop's shop orders, newest first.
//
// Errors: invalid_argument (the page token is invalid), not_found (the caller is neither a member nor an operator).
func (h *RPC) ListShopOrders(
	ctx context.Context, r *orderv1.ListShopOrdersRequest,
) (*orderv1.ListShopOrdersResponse, error) {
	request := page.Of(r, "shop orders of "+r.GetShopId(), r.GetStatus())
	read := func(ctx context.Context, after domain.Position, limit int) ([]domain.ShopOrder, error) {
		return h.service.ListOfShop(ctx, r.GetShopId(), domain.Status(r.GetStatus()), after, limit)
	}
	parts, next, err := page.List(ctx, request, newest(), read, domain.ShopOrder.Position)
	if err != nil {
		return nil, err
	}
	out := &orderv1.ListShopOrdersResponse{NextPageToken: next}
	for _, p := range parts {
		out.ShopOrders = append(out.ShopOrders, shopOrderToProto(p))
	}
	return out, nil
}
