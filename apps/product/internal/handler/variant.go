package handler

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/service"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/jsonpb"
	"souk/pkg/money"
	"souk/pkg/rpc"
)

// ifMatch returns the condition that the product, as REST shows it, has one of the ETags of an If-Match header; nil if
// the header is empty.
func ifMatch(etags string) service.Condition {
	if etags == "" {
		return nil
	}
	return func(document []byte) error {
		p, err := decodeProduct(document)
		if err != nil {
			return err
		}
		ok, err := jsonpb.Matches(etags, p)
		if err == nil && !ok {
			return errs.New(errs.PreconditionFailed, "the product has changed: read it again")
		}
		return err
	}
}

// UpdateVariant changes one variant.
//
// Errors: invalid_argument, not_found, already_exists, conflict, precondition_failed.
func (h *RPC) UpdateVariant(
	ctx context.Context, in *productv1.UpdateVariantRequest,
) (*productv1.UpdateVariantResponse, error) {
	fields, err := fieldsOf(in.GetUpdateMask(), in)
	if err != nil {
		return nil, err
	}
	next := domain.Variant{SKU: in.GetSku(), Options: in.GetOptions(), OnHand: in.OnHand}
	if next.Price, err = money.FromField("price", in.GetPrice()); err != nil {
		return nil, err
	}
	if next.CompareAt, err = money.FromField("compareAtPrice", in.GetCompareAtPrice()); err != nil {
		return nil, err
	}
	next.VariantDetails = domain.VariantDetails{
		Barcode: in.Barcode, ImageURL: in.ImageUrl, WeightGrams: in.WeightGrams,
	}
	if in.GetCost() != nil {
		cost, err := money.FromField("cost", in.GetCost())
		if err != nil {
			return nil, err
		}
		next.Cost = &cost
	}
	switch {
	case fields["price"] && in.GetPrice() == nil:
		return nil, errs.InvalidField("price", "is required")
	case fields["sku"] && in.GetSku() == "":
		return nil, errs.InvalidField("sku", "must not be empty")
	}
	d, err := h.service.UpdateVariant(ctx, in.GetVariantId(), next, fields, ifMatch(in.GetIfMatch()))
	if err != nil {
		return nil, err
	}
	p, err := decodeProduct(d.Bytes)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p.GetVariants(), func(v *productv1.Variant) bool { return v.GetId() == in.GetVariantId() })
	if i < 0 {
		return nil, errs.New(errs.NotFound, "there is no such variant") // it was deleted meanwhile
	}
	return &productv1.UpdateVariantResponse{Variant: p.GetVariants()[i]}, nil
}

// SetStock sets the pieces on hand.
//
// Errors: invalid_argument, not_found, conflict.
func (h *RPC) SetStock(ctx context.Context, in *productv1.SetStockRequest) (*productv1.SetStockResponse, error) {
	if in.OnHand == nil {
		return nil, errs.InvalidField("onHand", "is required")
	}
	s, err := h.service.SetStock(ctx, in.GetVariantId(), in.GetOnHand())
	if err != nil {
		return nil, err
	}
	return &productv1.SetStockResponse{Stock: stockToProto(s)}, nil
}

func stockToProto(s domain.Stock) *productv1.Stock {
	return &productv1.Stock{
		VariantId: s.VariantID, Sku: s.SKU, OnHand: s.OnHand, Reserved: s.Reserved, Available: s.Available(),
	}
}

// AdjustStock changes the pieces on hand by a difference.
//
// Errors: invalid_argument, not_found, conflict, idempotency_mismatch.
func (h *RPC) AdjustStock(
	ctx context.Context, in *productv1.AdjustStockRequest,
) (*productv1.AdjustStockResponse, error) {
	s, err := h.service.AdjustStock(ctx, in.GetVariantId(), in.GetDelta(), in.GetReason(), rpc.IdempotencyKey(ctx))
	if err != nil {
		return nil, err
	}
	return &productv1.AdjustStockResponse{Stock: stockToProto(s)}, nil
}

// ListStockAdjustments lists the latest adjustments of a variant's stock.
//
// Errors: not_found.
func (h *RPC) ListStockAdjustments(
	ctx context.Context, in *productv1.ListStockAdjustmentsRequest,
) (*productv1.ListStockAdjustmentsResponse, error) {
	list, err := h.service.Adjustments(ctx, in.GetVariantId())
	if err != nil {
		return nil, err
	}
	out := &productv1.ListStockAdjustmentsResponse{}
	for _, a := range list {
		out.Adjustments = append(out.Adjustments, &productv1.StockAdjustment{
			Id: a.ID, Delta: a.Delta, Reason: a.Reason, OnHand: a.OnHand, AdjustedBy: a.By,
			CreatedAt: timestamppb.New(a.CreatedAt),
		})
	}
	return out, nil
}
