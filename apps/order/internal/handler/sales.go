package handler

import (
	"context"
	"time"

	orderv1 "souk/gen/go/souk/order/v1"
)

// GetShopSales sums up what a shop sold, by day and currency.
//
// Errors: those of service.Service.Sales.
func (h *RPC) GetShopSales(ctx context.Context, r *orderv1.GetShopSalesRequest) (*orderv1.GetShopSalesResponse, error) {
	days, err := h.service.Sales(ctx, r.GetShopId(), r.GetFrom(), r.GetTo())
	if err != nil {
		return nil, err
	}
	out := &orderv1.GetShopSalesResponse{}
	for _, d := range days {
		out.Days = append(out.Days, &orderv1.SalesDay{
			Day: d.Day.Format(time.DateOnly), Orders: d.Orders, Pieces: d.Pieces, Goods: d.Goods.ToProto(),
			Discounts: d.Discounts.ToProto(), Shipping: d.Shipping.ToProto(), Tax: d.Tax.ToProto(),
			CancelledOrders: d.CancelledOrders, Cancelled: d.Cancelled.ToProto(), Net: d.Net().ToProto(),
		})
	}
	return out, nil
}
