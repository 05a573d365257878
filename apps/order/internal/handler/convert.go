package handler

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
)

func addressFromProto(a *orderv1.ShippingAddress) domain.Address {
	return domain.Address{
		Name: a.GetName(), Line1: a.GetLine1(), Line2: a.GetLine2(), City: a.GetCity(), Region: a.GetRegion(),
		PostalCode: a.GetPostalCode(), CountryCode: a.GetCountryCode(), Phone: a.GetPhone(),
	}
}

func addressToProto(a domain.Address) *orderv1.ShippingAddress {
	return &orderv1.ShippingAddress{
		Name: a.Name, Line1: a.Line1, Line2: a.Line2, City: a.City, Region: a.Region,
		PostalCode: a.PostalCode, CountryCode: a.CountryCode, Phone: a.Phone,
	}
}

func orderToProto(o domain.Order) *orderv1.Order {
	out := &orderv1.Order{
		Id:              o.ID,
		Number:          o.Number,
		Status:          string(o.Status),
		PlacedAt:        timestamppb.New(o.PlacedAt),
		UpdatedAt:       timestamppb.New(o.UpdatedAt),
		Subtotal:        o.Totals.Subtotal.ToProto(),
		Discount:        o.Totals.Discount.ToProto(),
		Shipping:        o.Totals.Shipping.ToProto(),
		Tax:             o.Totals.Tax.ToProto(),
		Total:           o.Totals.Total.ToProto(),
		Payment:         paymentToProto(o.Payment),
		ShippingAddress: addressToProto(o.Address),
		Remaining:       o.Remaining().ToProto(),
		ExpiresAt:       optional(o.ExpiresAt),
	}
	for _, p := range o.Parts {
		p.OrderNumber = o.Number
		out.ShopOrders = append(out.ShopOrders, shopOrderToProto(p))
	}
	return out
}

func paymentToProto(p domain.Payment) *orderv1.OrderPayment {
	return &orderv1.OrderPayment{Id: p.ID, Status: p.Status, Method: p.Method}
}

// shopOrderToProto converts a shop order. What ForShop adds is set only if the domain value has it.
func shopOrderToProto(p domain.ShopOrder) *orderv1.ShopOrder {
	t := p.Totals
	out := &orderv1.ShopOrder{
		Id: p.ID, OrderId: p.OrderID, ShopId: p.ShopID, ShopName: p.ShopName, Status: string(p.Status),
		Subtotal: t.Subtotal.ToProto(), Discount: t.Discount.ToProto(), Shipping: t.Shipping.ToProto(),
		Tax: t.Tax.ToProto(), Total: t.Total.ToProto(),
		Carrier: p.Carrier, TrackingNumber: p.TrackingNumber,
		PlacedAt: timestamppb.New(p.PlacedAt), ShippedAt: optional(p.ShippedAt), DeliveredAt: optional(p.DeliveredAt),
		OrderNumber: p.OrderNumber, ExpiresAt: optional(p.ExpiresAt),
		ShippingDiscounts: service.DiscountsToProto(p.ShippingDiscounts),
	}
	if p.Payment != (domain.Payment{}) {
		out.Payment = paymentToProto(p.Payment)
		out.OperatorDiscount = p.OperatorDiscount().ToProto()
	}
	if b := p.Buyer; b != (domain.Buyer{}) {
		out.Buyer = &orderv1.Buyer{Name: b.Name, Email: b.Email, Phone: b.Phone}
	}
	if p.CancelCode != "" {
		out.Cancellation = &orderv1.Cancellation{
			By: p.CancelCode, Reason: p.CancelReason, CancelledAt: optional(p.CancelledAt),
		}
	}
	if p.Address != (domain.Address{}) {
		out.ShippingAddress = addressToProto(p.Address)
	}
	for _, i := range p.Items {
		out.Items = append(out.Items, &orderv1.OrderItem{
			VariantId: i.VariantID, ProductId: i.ProductID, Title: i.Title, Sku: i.SKU, Options: i.Options,
			Quantity: i.Quantity, UnitPrice: i.UnitPrice.ToProto(), LineTotal: i.LineTotal.ToProto(),
			Discount: i.Discount.ToProto(), Discounts: service.DiscountsToProto(i.Discounts),
		})
	}
	return out
}

func optional(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
