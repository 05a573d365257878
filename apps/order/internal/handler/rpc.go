// Package handler serves order's contract and decodes the events that order consumes.
package handler

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/identity"
	"souk/pkg/page"
	"souk/pkg/rpc"
)

// RPC is the gRPC server of OrderService.
type RPC struct {
	orderv1.UnimplementedOrderServiceServer
	Service *service.Service
}

var _ orderv1.OrderServiceServer = (*RPC)(nil)

// Checkout places an order of the caller's cart. Errors: those of service.Service.Checkout.
func (h *RPC) Checkout(ctx context.Context, r *orderv1.CheckoutRequest) (*orderv1.CheckoutResponse, error) {
	o, err := h.Service.Checkout(ctx, domain.Request{
		IdemKey: rpc.IdempotencyKey(ctx), Address: readAddress(r.GetShippingAddress()),
		PaymentMethod: r.GetPayment().GetMethod(), Token: r.GetPayment().GetToken(),
		VoucherCodes: r.GetVoucherCodes(), Email: r.GetEmail(),
	})
	if err != nil {
		return nil, err
	}
	return &orderv1.CheckoutResponse{Order: showOrder(o)}, nil
}

// GetOrder returns one of the caller's orders.
//
// Errors: not_found (also for another customer's order).
func (h *RPC) GetOrder(ctx context.Context, r *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	o, err := h.Service.Get(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.GetOrderResponse{Order: showOrder(o)}, nil
}

// GetOrderForNotice returns any order to the notification service.
//
// Errors: not_found.
func (h *RPC) GetOrderForNotice(
	ctx context.Context,
	r *orderv1.GetOrderForNoticeRequest,
) (*orderv1.GetOrderForNoticeResponse, error) {
	o, err := h.Service.ForNotice(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.GetOrderForNoticeResponse{Order: showOrder(o), Email: o.Email, CustomerId: o.CustomerID}, nil
}

// CancelOrder cancels one of the caller's orders. Errors: those of service.Service.Cancel.
func (h *RPC) CancelOrder(ctx context.Context, r *orderv1.CancelOrderRequest) (*orderv1.CancelOrderResponse, error) {
	o, err := h.Service.Cancel(ctx, r.GetId(), r.GetReason())
	if err != nil {
		return nil, err
	}
	return &orderv1.CancelOrderResponse{Order: showOrder(o)}, nil
}

// ShipShopOrder marks a shop order as shipped. Errors: those of service.Service.Ship.
func (h *RPC) ShipShopOrder(
	ctx context.Context,
	r *orderv1.ShipShopOrderRequest,
) (*orderv1.ShipShopOrderResponse, error) {
	p, err := h.Service.Ship(ctx, r.GetId(), r.GetCarrier(), r.GetTrackingNumber())
	if err != nil {
		return nil, err
	}
	return &orderv1.ShipShopOrderResponse{ShopOrder: showPart(p)}, nil
}

// DeliverShopOrder marks a shop order as delivered. Errors: those of service.Service.Deliver.
func (h *RPC) DeliverShopOrder(
	ctx context.Context,
	r *orderv1.DeliverShopOrderRequest,
) (*orderv1.DeliverShopOrderResponse, error) {
	p, err := h.Service.Deliver(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.DeliverShopOrderResponse{ShopOrder: showPart(p)}, nil
}

// AdoptOrders transfers a guest's orders to a user. Errors: those of service.Service.Adopt.
func (h *RPC) AdoptOrders(ctx context.Context, r *orderv1.AdoptOrdersRequest) (*orderv1.AdoptOrdersResponse, error) {
	if err := h.Service.Adopt(ctx, r.GetGuestId(), r.GetUserId()); err != nil {
		return nil, err
	}
	return &orderv1.AdoptOrdersResponse{}, nil
}

// cursor is the content of a page token: the last row of the page.
type cursor struct {
	At time.Time `json:"t"`
	ID string    `json:"i"`
}

// beginning returns the cursor of the first page; it is newer than every row.
func beginning() cursor { return cursor{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} }

// ListOrders lists the caller's orders, newest first.
//
// Errors: invalid_argument (the page token is invalid).
func (h *RPC) ListOrders(ctx context.Context, r *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error) {
	c, size, filter := beginning(), page.Size(r.GetPageSize()), "orders of "+identity.FromContext(ctx).ID
	if err := page.Decode(r.GetPageToken(), &c, filter); err != nil {
		return nil, err
	}
	orders, err := h.Service.List(ctx, domain.Position(c), size+1)
	if err != nil {
		return nil, err
	}
	out := &orderv1.ListOrdersResponse{}
	if len(orders) > size {
		orders = orders[:size]
		last := orders[size-1]
		out.NextPageToken = page.Encode(cursor{At: last.PlacedAt, ID: last.ID}, filter)
	}
	for _, o := range orders {
		out.Orders = append(out.Orders, showOrder(o))
	}
	return out, nil
}

// ListShopOrders lists a shop's shop orders, newest first.
//
// Errors: invalid_argument (the page token is invalid), not_found (the caller is neither a member nor an operator).
func (h *RPC) ListShopOrders(
	ctx context.Context,
	r *orderv1.ListShopOrdersRequest,
) (*orderv1.ListShopOrdersResponse, error) {
	c, size := beginning(), page.Size(r.GetPageSize())
	filter := []string{"shop orders of " + r.GetShopId(), r.GetStatus()}
	if err := page.Decode(r.GetPageToken(), &c, filter...); err != nil {
		return nil, err
	}
	parts, err := h.Service.ListOfShop(ctx, r.GetShopId(), domain.Status(r.GetStatus()), domain.Position(c), size+1)
	if err != nil {
		return nil, err
	}
	out := &orderv1.ListShopOrdersResponse{}
	if len(parts) > size {
		parts = parts[:size]
		last := parts[size-1]
		out.NextPageToken = page.Encode(cursor{At: last.PlacedAt, ID: last.ID}, filter...)
	}
	for _, p := range parts {
		out.ShopOrders = append(out.ShopOrders, showPart(p))
	}
	return out, nil
}
