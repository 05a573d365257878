// Package handler serves cart's contract and runs the write-backs.
package handler

import (
	"context"

	"souk/apps/cart/internal/domain"
	"souk/apps/cart/internal/service"
	cartv1 "souk/gen/go/souk/cart/v1"
)

// RPC is the gRPC server of CartService.
type RPC struct {
	cartv1.UnimplementedCartServiceServer
	service *service.Service
}

// New returns the server.
func New(s *service.Service) *RPC { return &RPC{service: s} }

// GetCart returns the caller's cart.
//
// Errors: those of service.Service.Get.
func (h *RPC) GetCart(ctx context.Context, _ *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	v, err := h.service.Get(ctx)
	if err != nil {
		return nil, err
	}
	return &cartv1.GetCartResponse{Cart: toProto(v)}, nil
}

// AddItem adds pieces of a variant.
//
// Errors: those of service.Service.Add.
func (h *RPC) AddItem(ctx context.Context, r *cartv1.AddItemRequest) (*cartv1.AddItemResponse, error) {
	v, err := h.service.Add(ctx, r.GetVariantId(), r.GetQuantity())
	if err != nil {
		return nil, err
	}
	return &cartv1.AddItemResponse{Cart: toProto(v)}, nil
}

// UpdateItem sets the quantity of a variant.
//
// Errors: those of service.Service.Set.
func (h *RPC) UpdateItem(ctx context.Context, r *cartv1.UpdateItemRequest) (*cartv1.UpdateItemResponse, error) {
	v, err := h.service.Set(ctx, r.GetVariantId(), r.GetQuantity())
	if err != nil {
		return nil, err
	}
	return &cartv1.UpdateItemResponse{Cart: toProto(v)}, nil
}

// RemoveItem removes a variant. Removing a variant that is not in the cart does nothing.
//
// Errors: those of GetCart.
func (h *RPC) RemoveItem(ctx context.Context, r *cartv1.RemoveItemRequest) (*cartv1.RemoveItemResponse, error) {
	v, err := h.service.Set(ctx, r.GetVariantId(), 0)
	if err != nil {
		return nil, err
	}
	return &cartv1.RemoveItemResponse{Cart: toProto(v)}, nil
}

// ClearCart empties the cart.
//
// Errors: those of GetCart.
func (h *RPC) ClearCart(ctx context.Context, _ *cartv1.ClearCartRequest) (*cartv1.ClearCartResponse, error) {
	v, err := h.service.Clear(ctx)
	if err != nil {
		return nil, err
	}
	return &cartv1.ClearCartResponse{Cart: toProto(v)}, nil
}

// GetLines returns an owner's lines for a checkout.
//
// Errors: unavailable, timeout.
func (h *RPC) GetLines(ctx context.Context, r *cartv1.GetLinesRequest) (*cartv1.GetLinesResponse, error) {
	c, err := h.service.Lines(ctx, r.GetOwnerId())
	if err != nil {
		return nil, err
	}
	out := &cartv1.GetLinesResponse{
		Lines: make([]*cartv1.Line, len(c.Lines)), Currency: string(c.Currency), Version: c.Version,
		OwnerIds: c.ClaimIDs, OrderedIds: c.OrderedIDs,
	}
	for i, l := range c.Lines {
		out.Lines[i] = &cartv1.Line{VariantId: l.VariantID, Quantity: l.Quantity}
	}
	return out, nil
}

// GetCartForNotice returns a user's cart if it still has the version.
//
// Errors: those of service.Service.Unchanged.
func (h *RPC) GetCartForNotice(
	ctx context.Context, r *cartv1.GetCartForNoticeRequest,
) (*cartv1.GetCartForNoticeResponse, error) {
	v, err := h.service.Unchanged(ctx, r.GetUserId(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &cartv1.GetCartForNoticeResponse{Cart: toProto(v)}, nil
}

// RemoveOrdered removes an order's items, once per order.
//
// Errors: those of service.Service.RemoveOrdered.
func (h *RPC) RemoveOrdered(
	ctx context.Context, r *cartv1.RemoveOrderedRequest,
) (*cartv1.RemoveOrderedResponse, error) {
	lines := make([]domain.Line, len(r.GetLines()))
	for i, l := range r.GetLines() {
		lines[i] = domain.Line{VariantID: l.GetVariantId(), Quantity: l.GetQuantity()}
	}
	if err := h.service.RemoveOrdered(ctx, r.GetOwnerId(), r.GetOrderId(), r.GetCartVersion(), lines); err != nil {
		return nil, err
	}
	return &cartv1.RemoveOrderedResponse{}, nil
}

// MergeCart moves a guest's cart into a user's.
//
// Errors: unavailable, timeout.
func (h *RPC) MergeCart(ctx context.Context, r *cartv1.MergeCartRequest) (*cartv1.MergeCartResponse, error) {
	if err := h.service.Merge(ctx, r.GetGuestId(), r.GetUserId()); err != nil {
		return nil, err
	}
	return &cartv1.MergeCartResponse{}, nil
}

func toProto(v domain.View) *cartv1.Cart {
	out := &cartv1.Cart{
		Items:    make([]*cartv1.CartItem, len(v.Items)),
		Subtotal: v.Subtotal.ToProto(),
		Total:    v.Total.ToProto(),
	}
	for i, it := range v.Items {
		item := &cartv1.CartItem{
			VariantId: it.VariantID, Quantity: it.Quantity, Available: it.Available,
			UnitPrice: it.UnitPrice.ToProto(), LineTotal: it.Total.ToProto(),
		}
		if o := it.Offer; o != nil {
			item.ProductId, item.ShopId, item.ShopName, item.Title = o.ProductID, o.ShopID, o.ShopName, o.Title
			item.Sku, item.Options, item.ImageUrl = o.SKU, o.Options, o.ImageURL
		}
		out.Items[i] = item
	}
	return out
}
