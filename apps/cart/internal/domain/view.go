package domain

import "souk/pkg/money"

// Offer is the product service's offer of a variant.
type Offer struct {
	VariantID, ProductID, ShopID, ShopName, Title, SKU, ImageURL string
	Options                                                      map[string]string
	Price                                                        money.Money
	// Pieces is the number of available pieces.
	Pieces  int64
	ForSale bool
}

// Item is a line of a View.
type Item struct {
	Line
	// Offer is nil if the variant is gone.
	Offer *Offer
	// UnitPrice and Total are the zero Money if the variant is gone or not for sale.
	UnitPrice, Total money.Money
	// Available reports whether the whole quantity could be bought now, with the rest of the cart.
	Available bool
}

// View is a cart with prices, as shown to its owner.
type View struct {
	Items    []Item
	Subtotal money.Money
	Total    money.Money
}

// Show returns the cart with prices. offers holds the offers of the lines, in their order; a missing offer is nil.
// fallback is the currency of a cart without any price. A line counts in the subtotal if it is for sale in the
// cart's currency. Too few available pieces make a line unavailable, but it still counts.
//
// Errors: invalid_argument (the sum overflows).
func Show(c Cart, offers []*Offer, fallback money.Currency) (View, error) {
	v := View{Items: make([]Item, len(c.Lines))}
	currency := c.Currency
	for i, l := range c.Lines {
		it := Item{Line: l}
		if o := offers[i]; o != nil {
			it.Offer = o
			if o.ForSale {
				total, err := o.Price.Mul(l.Quantity)
				if err != nil {
					return View{}, err
				}
				it.UnitPrice, it.Total = o.Price, total
				if currency == "" {
					currency = o.Price.Currency()
				}
				it.Available = o.Pieces >= l.Quantity && o.Price.Currency() == currency
			}
		}
		v.Items[i] = it
	}
	if currency == "" {
		currency = fallback
	}
	v.Subtotal = money.New(0, currency)
	for _, it := range v.Items {
		if it.Total.Currency() != currency {
			continue
		}
		var err error
		if v.Subtotal, err = v.Subtotal.Add(it.Total); err != nil {
			return View{}, err
		}
	}
	v.Total = v.Subtotal
	return v, nil
}
