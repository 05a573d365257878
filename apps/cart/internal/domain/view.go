package domain

import "souk/pkg/money"

// Offer is a variant as the product service offers it.
type Offer struct {
	VariantID, ProductID, ShopID, ShopName, Title, SKU, ImageURL string
	Options                                                      map[string]string
	Price                                                        money.Money
	// Pieces could be reserved now.
	Pieces  int64
	ForSale bool
}

// Item is a line as it is shown.
type Item struct {
	Line
	// Offer is nil when the variant is gone.
	Offer *Offer
	// UnitPrice and Total are the zero Money when there is no price.
	UnitPrice, Total money.Money
	// Available: could the whole quantity be bought now, together with the rest of the cart?
	Available bool
}

// View is a cart as it is shown.
type View struct {
	Items    []Item
	Subtotal money.Money
	Total    money.Money
}

// Show prices a cart. Offers are those of the lines, in their order, nil where there is none; fallback is
// the currency of a cart in which nothing has a price. A line counts in the subtotal if it is for sale in
// the cart's currency; that there are too few pieces left makes it unavailable, but does not hide what it
// costs. It fails with invalid_argument when the sum is too large to be one.
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
