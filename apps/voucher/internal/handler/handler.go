// Package handler serves the voucher service's contract, and decodes the events that voucher consumes.
package handler

import (
	"context"

	"souk/apps/voucher/internal/domain"
	"souk/apps/voucher/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/event"
	"souk/pkg/money"
	"souk/pkg/page"
)

// RPC serves souk.voucher.v1.VoucherService. The contract says who may call which method.
type RPC struct {
	voucherv1.UnimplementedVoucherServiceServer
	service *service.Service
}

// New returns the server.
func New(s *service.Service) *RPC { return &RPC{service: s} }

// OrderSubjects are the events of orders that give back vouchers.
var OrderSubjects = []string{"evt.order.cancelled"}

// CancelledOrder returns the order of an event of OrderSubjects whose vouchers can be used again: all of it was
// cancelled. It returns "" for another one. The vouchers of a refused checkout are released by its saga.
func CancelledOrder(e event.Event) (orderID string, err error) {
	var o orderv1.OrderCancelled
	if err := e.Decode(&o); err != nil || !o.GetWasConfirmed() || o.GetPartial() {
		return "", err
	}
	return o.GetOrderId(), nil
}

// CreateShopVoucher creates a voucher of a shop.
//
// Errors: those of service.Service.CreateForShop.
func (h *RPC) CreateShopVoucher(
	ctx context.Context, r *voucherv1.CreateShopVoucherRequest,
) (*voucherv1.CreateShopVoucherResponse, error) {
	n, err := newFromProto(r, r.StartsAt, r.EndsAt)
	if err != nil {
		return nil, err
	}
	v, err := h.service.CreateForShop(ctx, r.GetShopId(), n)
	if err != nil {
		return nil, err
	}
	return &voucherv1.CreateShopVoucherResponse{Voucher: h.toProto(v)}, nil
}

// CreateMarketplaceVoucher creates a voucher of the marketplace.
//
// Errors: those of service.Service.Create.
func (h *RPC) CreateMarketplaceVoucher(
	ctx context.Context, r *voucherv1.CreateMarketplaceVoucherRequest,
) (*voucherv1.CreateMarketplaceVoucherResponse, error) {
	n, err := newFromProto(r, r.StartsAt, r.EndsAt)
	if err != nil {
		return nil, err
	}
	v, err := h.service.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	return &voucherv1.CreateMarketplaceVoucherResponse{Voucher: h.toProto(v)}, nil
}

// last sorts after the ID of every voucher.
const last = "vch_g"

func idOf(v domain.Voucher) string { return v.ID }

// ListShopVouchers lists a shop's vouchers, newest first.
//
// Errors: invalid_argument (the page token is invalid), not_found (the caller is neither a member nor an operator).
func (h *RPC) ListShopVouchers(
	ctx context.Context, r *voucherv1.ListShopVouchersRequest,
) (*voucherv1.ListShopVouchersResponse, error) {
	read := func(ctx context.Context, before string, limit int) ([]domain.Voucher, error) {
		return h.service.ListOfShop(ctx, r.GetShopId(), domain.Status(r.GetStatus()), before, limit)
	}
	request := page.Of(r, "vouchers of "+r.GetShopId(), r.GetStatus())
	found, next, err := page.List(ctx, request, last, read, idOf)
	if err != nil {
		return nil, err
	}
	res := &voucherv1.ListShopVouchersResponse{NextPageToken: next}
	for _, v := range found {
		res.Vouchers = append(res.Vouchers, h.toProto(v))
	}
	return res, nil
}

// ListMarketplaceVouchers lists the vouchers of the marketplace, newest first.
//
// Errors: invalid_argument (the page token is invalid).
func (h *RPC) ListMarketplaceVouchers(
	ctx context.Context, r *voucherv1.ListMarketplaceVouchersRequest,
) (*voucherv1.ListMarketplaceVouchersResponse, error) {
	read := func(ctx context.Context, before string, limit int) ([]domain.Voucher, error) {
		return h.service.List(ctx, domain.Status(r.GetStatus()), before, limit)
	}
	found, next, err := page.List(ctx, page.Of(r, "marketplace vouchers", r.GetStatus()), last, read, idOf)
	if err != nil {
		return nil, err
	}
	res := &voucherv1.ListMarketplaceVouchersResponse{NextPageToken: next}
	for _, v := range found {
		res.Vouchers = append(res.Vouchers, h.toProto(v))
	}
	return res, nil
}

// GetVoucher returns a voucher to members of its shop and operators.
//
// Errors: not_found.
func (h *RPC) GetVoucher(
	ctx context.Context, r *voucherv1.GetVoucherRequest,
) (*voucherv1.GetVoucherResponse, error) {
	v, err := h.service.Get(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &voucherv1.GetVoucherResponse{Voucher: h.toProto(v)}, nil
}

// GetVoucherForNotice returns what a mail about a voucher needs.
//
// Errors: not_found.
func (h *RPC) GetVoucherForNotice(
	ctx context.Context, r *voucherv1.GetVoucherForNoticeRequest,
) (*voucherv1.GetVoucherForNoticeResponse, error) {
	v, err := h.service.Store.Get(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &voucherv1.GetVoucherForNoticeResponse{Code: v.Code, ShopId: v.ShopID, UsedUp: v.UsedUp()}, nil
}

// UpdateVoucher changes a voucher.
//
// Errors: those of service.Service.Update.
func (h *RPC) UpdateVoucher(
	ctx context.Context, r *voucherv1.UpdateVoucherRequest,
) (*voucherv1.UpdateVoucherResponse, error) {
	c, err := changeFromProto(r, r.StartsAt, r.EndsAt)
	if err != nil {
		return nil, err
	}
	c.Title, c.Percent, c.OperatorShare, c.Stackable = r.Title, r.Percent, r.OperatorShare, r.Stackable
	c.BuyQuantity, c.GetQuantity = r.BuyQuantity, r.GetQuantity
	if r.Status != nil {
		c.State = new(domain.Status(r.GetStatus()))
	}
	v, err := h.service.Update(ctx, r.GetId(), c)
	if err != nil {
		return nil, err
	}
	return &voucherv1.UpdateVoucherResponse{Voucher: h.toProto(v)}, nil
}

// DisableVoucher ends the use of a voucher.
//
// Errors: not_found.
func (h *RPC) DisableVoucher(
	ctx context.Context, r *voucherv1.DisableVoucherRequest,
) (*voucherv1.DisableVoucherResponse, error) {
	v, err := h.service.Update(ctx, r.GetId(), domain.Change{State: new(domain.Disabled)})
	if err != nil {
		return nil, err
	}
	return &voucherv1.DisableVoucherResponse{Voucher: h.toProto(v)}, nil
}

// EvaluateVouchers says what vouchers take off a cart.
//
// Errors: those of service.Service.Evaluate.
func (h *RPC) EvaluateVouchers(
	ctx context.Context, r *voucherv1.EvaluateVouchersRequest,
) (*voucherv1.EvaluateVouchersResponse, error) {
	var c domain.Cart
	for _, l := range r.GetLines() {
		price, err := money.FromField("unitPrice", l.GetUnitPrice())
		if err != nil {
			return nil, err
		}
		c.Lines = append(c.Lines, domain.Line{
			ProductID: l.GetProductId(), ShopID: l.GetShopId(), CategoryIDs: l.GetCategoryIds(),
			Quantity: l.GetQuantity(), UnitPrice: price,
		})
	}
	for _, s := range r.GetShops() {
		shipping, err := money.FromField("shipping", s.GetShipping())
		if err != nil {
			return nil, err
		}
		c.Shops = append(c.Shops, domain.Shop{ID: s.GetShopId(), Shipping: shipping})
	}
	applied, rejected, err := h.service.Evaluate(ctx, r.GetCodes(), customerFromProto(r.GetCustomer()), c)
	if err != nil {
		return nil, err
	}
	return evaluationToProto(applied, rejected, c), nil
}

// RedeemVouchers uses vouchers for an order.
//
// Errors: those of service.Service.Redeem.
func (h *RPC) RedeemVouchers(
	ctx context.Context, r *voucherv1.RedeemVouchersRequest,
) (*voucherv1.RedeemVouchersResponse, error) {
	redemption := domain.Redemption{OrderID: r.GetOrderId(), Customer: customerFromProto(r.GetCustomer())}
	for _, u := range r.GetUses() {
		amount, err := money.FromField("amount", u.GetAmount())
		if err != nil {
			return nil, err
		}
		operator, err := money.FromField("operatorAmount", u.GetOperatorAmount())
		if err != nil {
			return nil, err
		}
		redemption.Uses = append(redemption.Uses,
			domain.Use{VoucherID: u.GetVoucherId(), Amount: amount, OperatorAmount: operator})
	}
	return &voucherv1.RedeemVouchersResponse{}, h.service.Redeem(ctx, redemption)
}

// ReleaseVouchers gives back the uses of an order.
func (h *RPC) ReleaseVouchers(
	ctx context.Context, r *voucherv1.ReleaseVouchersRequest,
) (*voucherv1.ReleaseVouchersResponse, error) {
	return &voucherv1.ReleaseVouchersResponse{}, h.service.Release(ctx, r.GetOrderId())
}

// AdoptVoucherUses makes the uses of a guest's orders those of a user.
func (h *RPC) AdoptVoucherUses(
	ctx context.Context, r *voucherv1.AdoptVoucherUsesRequest,
) (*voucherv1.AdoptVoucherUsesResponse, error) {
	return &voucherv1.AdoptVoucherUsesResponse{},
		h.service.Adopt(ctx, r.GetGuestId(), r.GetUserId(), r.GetOrderIds())
}
