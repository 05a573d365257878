package domain

import (
	"time"

	"souk/pkg/money"
)

// SalesDay is what a shop sold on a day in one currency, and what was cancelled on that day.
type SalesDay struct {
	Day time.Time
	// Orders and Pieces were confirmed on the day.
	Orders, Pieces                  int64
	Goods, Discounts, Shipping, Tax money.Money
	// CancelledOrders were cancelled on the day, whenever they were confirmed. Cancelled is what they cost.
	CancelledOrders int64
	Cancelled       money.Money
}

// Net is what is left of the day's sales. It is negative if more was cancelled than sold.
func (d SalesDay) Net() money.Money {
	return money.New(d.Goods.Minor()-d.Discounts.Minor()+d.Shipping.Minor()+d.Tax.Minor()-d.Cancelled.Minor(),
		d.Goods.Currency())
}
