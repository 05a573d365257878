package repository

import (
	"encoding/json"
	"time"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/money"
)

// part is a shop order as queries.sql writes it.
type part struct {
	ID             string     `json:"id"`
	ShopID         string     `json:"shop_id"`
	ShopName       string     `json:"shop_name"`
	Status         string     `json:"status"`
	Subtotal       int64      `json:"subtotal"`
	Discount       int64      `json:"discount"`
	Shipping       int64      `json:"shipping"`
	Tax            int64      `json:"tax"`
	Total          int64      `json:"total"`
	Carrier        string     `json:"carrier"`
	TrackingNumber string     `json:"tracking_number"`
	PlacedAt       time.Time  `json:"placed_at"`
	ShippedAt      *time.Time `json:"shipped_at"`
	DeliveredAt    *time.Time `json:"delivered_at"`
	Items          []struct {
		VariantID string            `json:"variant_id"`
		ProductID string            `json:"product_id"`
		Title     string            `json:"title"`
		SKU       string            `json:"sku"`
		Options   map[string]string `json:"options"`
		Quantity  int64             `json:"quantity"`
		UnitPrice int64             `json:"unit_price"`
		LineTotal int64             `json:"line_total"`
	} `json:"items"`
}

func order(r sqlc.ByIDsRow) (domain.Order, error) {
	c := money.Currency(r.Currency)
	o := domain.Order{
		ID: r.ID, Number: r.Number, CustomerID: r.CustomerID, IdemKey: r.IdemKey, Status: domain.Status(r.Status),
		Totals:  totals(c, r.Subtotal, r.Discount, r.Shipping, r.Tax, r.Total),
		Payment: domain.Payment{ID: r.PaymentID, Status: r.PaymentStatus, Method: r.PaymentMethod},
		Email:   r.Email, CancelID: r.CancelID, CancelCode: r.CancelCode, CancelReason: r.CancelReason,
		Version: r.Version, PlacedAt: r.PlacedAt, UpdatedAt: r.UpdatedAt, ConfirmedAt: required(r.ConfirmedAt),
	}
	copy(o.RequestHash[:], r.RequestHash)
	if err := json.Unmarshal(r.ShippingAddress, &o.Address); err != nil {
		return domain.Order{}, unreadable(err)
	}
	var parts []part
	if err := json.Unmarshal(r.Parts, &parts); err != nil {
		return domain.Order{}, unreadable(err)
	}
	if err := json.Unmarshal(r.CancelFields, &o.CancelFields); err != nil {
		return domain.Order{}, unreadable(err)
	}
	for _, p := range parts {
		o.Parts = append(o.Parts, p.shopOrder(o.ID, c))
	}
	return o, nil
}

func shopOrder(r sqlc.ShopHistoryRow) (domain.ShopOrder, error) {
	var p part
	if err := json.Unmarshal(r.Part, &p); err != nil {
		return domain.ShopOrder{}, unreadable(err)
	}
	out := p.shopOrder(r.OrderID, money.Currency(r.Currency))
	if err := json.Unmarshal(r.ShippingAddress, &out.Address); err != nil {
		return domain.ShopOrder{}, unreadable(err)
	}
	return out, nil
}

func (p part) shopOrder(orderID string, c money.Currency) domain.ShopOrder {
	out := domain.ShopOrder{
		ID: p.ID, OrderID: orderID, ShopID: p.ShopID, ShopName: p.ShopName, Status: domain.Status(p.Status),
		Totals:  totals(c, p.Subtotal, p.Discount, p.Shipping, p.Tax, p.Total),
		Carrier: p.Carrier, TrackingNumber: p.TrackingNumber,
		PlacedAt: p.PlacedAt.UTC(), ShippedAt: required(p.ShippedAt), DeliveredAt: required(p.DeliveredAt),
	}
	for _, i := range p.Items {
		out.Items = append(out.Items, domain.Item{
			VariantID: i.VariantID, ProductID: i.ProductID, Title: i.Title, SKU: i.SKU, Options: i.Options, Quantity: i.Quantity,
			UnitPrice: money.New(i.UnitPrice, c), LineTotal: money.New(i.LineTotal, c),
		})
	}
	return out
}

func totals(c money.Currency, subtotal, discount, shipping, tax, total int64) domain.Totals {
	return domain.Totals{
		Subtotal: money.New(subtotal, c), Discount: money.New(discount, c), Shipping: money.New(shipping, c),
		Tax: money.New(tax, c), Total: money.New(total, c),
	}
}

func unreadable(err error) error { return errs.Wrap(err, errs.Internal, "the order cannot be read") }

// required is the time, or zero for null.
func required(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// optional is null for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
