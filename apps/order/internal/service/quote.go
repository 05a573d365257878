package service

import (
	"context"
	"strings"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/weblink"
)

// Quote returns what a checkout of the caller's cart with the same request would cost now. Codes that cannot be used
// are rejected in the quote. A request for a quote may leave open where the order goes and how it is paid.
//
// Errors: invalid_argument, cart_empty, out_of_stock, unprocessable, unavailable.
func (s *Service) Quote(ctx context.Context, r domain.Request) (*orderv1.Quote, error) {
	caller := identity.FromContext(ctx)
	r.CustomerID = caller.ID
	if strings.ContainsFunc(r.Email, weblink.Reorders) {
		return nil, errs.InvalidField("email", "must not contain line breaks or other control characters")
	}
	if err := checkDestination(r, caller); err != nil {
		return nil, err
	}
	if r.Address != (domain.Address{}) {
		if _, err := r.Address.Normalize(); err != nil {
			return nil, err
		}
	}
	o, _, rejected, err := s.draft(ctx, r)
	if err == nil {
		err = o.CheckTotal()
	}
	if err != nil {
		return nil, err
	}
	q := quoteToProto(o)
	for _, v := range rejected {
		q.RejectedVouchers = append(q.RejectedVouchers,
			&orderv1.RejectedVoucher{Code: v.Code, Reason: v.Reason, Detail: v.Detail})
	}
	return q, nil
}

// quoteToProto returns what the order costs.
func quoteToProto(o domain.Order) *orderv1.Quote {
	q := &orderv1.Quote{
		Subtotal: o.Totals.Subtotal.ToProto(), Discount: o.Totals.Discount.ToProto(),
		Shipping: o.Totals.Shipping.ToProto(), Tax: o.Totals.Tax.ToProto(), Total: o.Totals.Total.ToProto(),
	}
	for _, p := range o.Parts {
		q.Shops = append(q.Shops, &orderv1.QuoteShop{
			ShopId: p.ShopID, ShopName: p.ShopName, Subtotal: p.Totals.Subtotal.ToProto(),
			Discount: p.Totals.Discount.ToProto(), Shipping: p.Totals.Shipping.ToProto(),
			Tax: p.Totals.Tax.ToProto(), Total: p.Totals.Total.ToProto(),
			ShippingDiscounts: DiscountsToProto(p.ShippingDiscounts),
		})
		for _, it := range p.Items {
			q.Lines = append(q.Lines, &orderv1.QuoteLine{
				VariantId: it.VariantID, Quantity: it.Quantity, UnitPrice: it.UnitPrice.ToProto(),
				Subtotal: it.LineTotal.ToProto(), Total: it.Total().ToProto(),
				Discounts: DiscountsToProto(it.Discounts),
			})
		}
	}
	return q
}

// DiscountsToProto converts the discounts of a line or of a shipping.
func DiscountsToProto(all []domain.Discount) []*orderv1.AppliedDiscount {
	var out []*orderv1.AppliedDiscount
	for _, d := range all {
		out = append(out, &orderv1.AppliedDiscount{
			VoucherId: d.VoucherID, Code: d.Code, Title: d.Title, Amount: d.Amount.ToProto(), Reason: d.Reason,
		})
	}
	return out
}
