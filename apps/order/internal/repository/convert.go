package repository

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/postgres"
)

// orders converts rows to orders, without what Store.decrypt reads. There is one row per line, sorted by order and shop order.
func orders(rows []sqlc.ByIDsRow) ([]domain.Order, error) {
	var out []domain.Order
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].ID != r.Order.ID {
			o, err := order(r.Order)
			if err != nil {
				return nil, err
			}
			out = append(out, o)
		}
		o := &out[len(out)-1]
		if err := addLine(&o.Parts, money.Currency(r.Order.Currency), r.ShopOrder, r.OrderItem); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// only returns the single order of the rows.
//
// Errors: not_found (no rows).
func only(rows []sqlc.ByIDsRow) (domain.Order, error) {
	all, err := orders(rows)
	if err != nil {
		return domain.Order{}, err
	}
	if len(all) == 0 {
		return domain.Order{}, postgres.Err(pgx.ErrNoRows)
	}
	return all[0], nil
}

func order(r sqlc.Order) (domain.Order, error) {
	o := domain.Order{
		ID:         r.ID,
		Number:     r.Number,
		CustomerID: r.CustomerID,
		IdemKey:    r.IdemKey,
		Status:     domain.Status(r.Status),
		Totals:     totals(money.Currency(r.Currency), r.Subtotal, r.Discount, r.Shipping, r.Tax, r.Total),
		Payment: domain.Payment{
			ID: r.PaymentID, Status: r.PaymentStatus, Method: r.PaymentMethod, Version: r.PaymentVersion,
		},
		CartOwnerID:         r.CartOwnerID,
		CartVersion:         r.CartVersion,
		Private:             r.Private,
		Email:               r.Email,
		CancelID:            r.CancelID,
		CancelCode:          r.CancelCode,
		CancelReason:        r.CancelReason,
		Version:             r.Version,
		PlacedAt:            r.PlacedAt,
		UpdatedAt:           r.UpdatedAt,
		ConfirmedAt:         orZero(r.ConfirmedAt),
		CustomerCancelledAt: orZero(r.CustomerCancelledAt),
		ExpiresAt:           orZero(r.ExpiresAt),
	}
	copy(o.RequestHash[:], r.RequestHash)
	if err := json.Unmarshal(r.ShippingAddress, &o.Address); err != nil {
		return domain.Order{}, unreadable(err)
	}
	return o, nil
}

// addLine adds a line to the last shop order, or to a new one if the line belongs to another shop order.
func addLine(parts *[]domain.ShopOrder, c money.Currency, s sqlc.ShopOrder, i sqlc.OrderItem) error {
	if n := len(*parts); n == 0 || (*parts)[n-1].ID != s.ID {
		*parts = append(*parts, domain.ShopOrder{
			ID: s.ID, OrderID: s.OrderID, ShopID: s.ShopID, ShopName: s.ShopName, Status: domain.Status(s.Status),
			Totals:  totals(c, s.Subtotal, s.Discount, s.Shipping, s.Tax, s.Total),
			Carrier: s.Carrier, TrackingNumber: s.TrackingNumber,
			CancelID: s.CancelID, CancelCode: s.CancelCode, CancelReason: s.CancelReason,
			CancelledAt: orZero(s.CancelledAt),
			PlacedAt:    s.PlacedAt.UTC(), ShippedAt: orZero(s.ShippedAt), DeliveredAt: orZero(s.DeliveredAt),
		})
		var err error
		if (*parts)[n].ShippingDiscounts, err = decodeDiscounts(s.ShippingDiscounts, c); err != nil {
			return unreadable(err)
		}
	}
	item := domain.Item{
		VariantID: i.VariantID, ProductID: i.ProductID, Title: i.Title, SKU: i.Sku, Quantity: i.Quantity,
		UnitPrice: money.New(i.UnitPrice, c), LineTotal: money.New(i.LineTotal, c),
		Discount: money.New(i.Discount, c),
	}
	var err error
	if item.Discounts, err = decodeDiscounts(i.Discounts, c); err != nil {
		return unreadable(err)
	}
	if err := json.Unmarshal(i.Options, &item.Options); err != nil {
		return unreadable(err)
	}
	last := &(*parts)[len(*parts)-1]
	last.Items = append(last.Items, item)
	return nil
}

func totals(c money.Currency, subtotal, discount, shipping, tax, total int64) domain.Totals {
	return domain.Totals{
		Subtotal: money.New(subtotal, c), Discount: money.New(discount, c), Shipping: money.New(shipping, c),
		Tax: money.New(tax, c), Total: money.New(total, c),
	}
}

func unreadable(err error) error { return errs.Wrap(err, errs.Internal, "the order cannot be read") }

// orZero returns the time, or the zero time for null.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// orNull returns the time, or null for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
