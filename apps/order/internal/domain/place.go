package domain

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/money"
)

// Limits of an order: the number of its lines, and the pieces of one line.
const (
	MaxLines    = 500
	MaxQuantity = 9999
)

// Line is a line of the cart with the catalogue's current offer.
type Line struct {
	VariantID, ProductID, ShopID, ShopName, Title, SKU string
	Options                                            map[string]string
	Quantity                                           int64
	UnitPrice                                          money.Money
	// CategoryIDs are the product's category and those above it. They are read only for checkouts with vouchers.
	CategoryIDs []string
}

// Cart is a cart as a checkout reads it.
type Cart struct {
	// Version identifies this state of the owner's cart.
	Version int64
	// Currency is the currency in which the items were added; "" for an empty cart.
	Currency money.Currency
	Lines    []Line
	// ClaimIDs are the owners under whose IDs the checkout claims the cart: the cart's owner, and guests whose carts
	// were merged into it.
	ClaimIDs []string
	// LeftIDs are the latest orders whose items have left the cart.
	LeftIDs []string
}

// Request is a customer's checkout request.
type Request struct {
	CustomerID, IdemKey string
	// Address and AddressID are where the order goes, as the customer said it: one of them is set.
	Address   Address
	AddressID string
	// ShipTo is the address that Address or AddressID stands for.
	ShipTo               Address
	PaymentMethod, Token string
	VoucherCodes         []string
	Email                string
	// ExpectedTotal is what the order may cost; the zero Money means anything.
	ExpectedTotal money.Money
}

// Hash identifies the request. It distinguishes a retry from another request with the same key. It does not cover
// the cart, which is empty after the first attempt.
func (r Request) Hash() [sha256.Size]byte {
	a := r.Address
	parts := []string{
		a.Name,
		a.Line1,
		a.Line2,
		a.City,
		a.Region,
		a.PostalCode,
		a.CountryCode,
		a.Phone,
		r.PaymentMethod,
		r.Token,
		r.Email,
	}
	parts = append(parts, r.VoucherCodes...)
	if r.AddressID != "" {
		parts = append(parts, "\x00addressId", r.AddressID)
	}
	if r.ExpectedTotal != (money.Money{}) {
		parts = append(parts, "\x00expectedTotal", r.ExpectedTotal.String())
	}
	h := sha256.New()
	for _, s := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Place returns a pending order of the cart, in the cart's currency. It has one shop order per shop, in the order in
// which the shops first appear. Each shop order costs the flat shipping rate of the order's currency; zero if rates
// does not contain it.
//
// Errors: cart_empty (no lines), unprocessable (too many lines, a quantity out of bounds, a negative price, a price in
// another currency than the cart's, a total that is too large).
func Place(r Request, c Cart, rates map[money.Currency]money.Money, at time.Time) (Order, error) {
	lines := c.Lines
	switch {
	case len(lines) == 0:
		return Order{}, errs.New(errs.CartEmpty, "the cart is empty")
	case len(lines) > MaxLines:
		return Order{}, errs.New(errs.Unprocessable, "an order has at most %d lines, the cart has %d", MaxLines,
			len(lines))
	}
	currency := cmp.Or(c.Currency, lines[0].UnitPrice.Currency())
	o := Order{
		ID: id.New(id.Order), Number: NewNumber(), CustomerID: r.CustomerID, IdemKey: r.IdemKey, RequestHash: r.Hash(),
		Status: Pending, Payment: Payment{Status: PaymentPending, Method: r.PaymentMethod},
		Email: r.Email, Address: r.ShipTo, CartOwnerID: r.CustomerID, CartVersion: c.Version, Version: 1,
		PlacedAt: at, UpdatedAt: at,
	}
	if err := checkLines(lines, currency); err != nil {
		return Order{}, err
	}
	shops := make(map[string]int)
	for _, l := range lines {
		item, err := price(l)
		if err != nil {
			return Order{}, err
		}
		i, known := shops[l.ShopID]
		if !known {
			i = len(o.Parts)
			shops[l.ShopID] = i
			o.Parts = append(o.Parts, ShopOrder{
				ID:       id.New(id.ShopOrder),
				OrderID:  o.ID,
				ShopID:   l.ShopID,
				ShopName: l.ShopName,
				Status:   Pending,
				PlacedAt: at,
			})
		}
		o.Parts[i].Items = append(o.Parts[i].Items, item)
	}
	shipping, ok := rates[currency]
	if !ok {
		shipping = money.New(0, currency)
	}
	var parts []Totals
	for i := range o.Parts {
		t, err := add(o.Parts[i].Items, shipping)
		if err != nil {
			return Order{}, tooLarge(err)
		}
		o.Parts[i].Totals = t
		parts = append(parts, t)
	}
	var err error
	if o.Totals, err = sum(currency, parts); err != nil {
		return Order{}, tooLarge(err)
	}
	return o, nil
}

// CheckTotal checks that the order costs something, unless vouchers pay for all of it.
//
// Errors: unprocessable.
func (o *Order) CheckTotal() error {
	if o.Totals.Total.IsZero() && len(o.Vouchers) == 0 {
		return errs.New(errs.Unprocessable, "the total must be more than zero")
	}
	return nil
}

// checkLines returns an error that names every line that cannot be ordered in the currency.
func checkLines(lines []Line, currency money.Currency) error {
	var wrong []errs.Field
	add := func(l Line, path, format string, args ...any) {
		wrong = append(
			wrong,
			errs.Field{Path: "items." + l.VariantID + "." + path, Message: fmt.Sprintf(format, args...)},
		)
	}
	for _, l := range lines {
		switch {
		case l.Quantity < 1 || l.Quantity > MaxQuantity:
			add(l, "quantity", "must be from 1 to %d", MaxQuantity)
		case l.UnitPrice.Currency() != currency:
			add(l, "unitPrice.currencyCode", "is %s, but the cart is in %s: remove the item", l.UnitPrice.Currency(),
				currency)
		case l.UnitPrice.IsNegative():
			add(l, "unitPrice", "must not be negative")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	e := errs.New(errs.Unprocessable, "%s", wrong[0].Message)
	if n := len(wrong); n > 1 {
		e = errs.New(errs.Unprocessable, "%d items cannot be ordered as they are", n)
	}
	e.Fields = wrong
	return e
}

func price(l Line) (Item, error) {
	total, err := l.UnitPrice.Mul(l.Quantity)
	if err != nil {
		return Item{}, tooLarge(err)
	}
	return Item{
		VariantID: l.VariantID, ProductID: l.ProductID, Title: l.Title, SKU: l.SKU, Options: l.Options,
		Quantity: l.Quantity, UnitPrice: l.UnitPrice, LineTotal: total,
		Discount: money.New(0, total.Currency()),
	}, nil
}

// add returns the totals of one shop order. Taxes do not exist yet: the amount is zero.
func add(items []Item, shipping money.Money) (Totals, error) {
	c := shipping.Currency()
	lines, discounts := make([]money.Money, len(items)), make([]money.Money, len(items))
	for i, it := range items {
		lines[i], discounts[i] = it.LineTotal, it.Discount
	}
	t := Totals{Shipping: shipping, Tax: money.New(0, c)}
	var err error
	if t.Subtotal, err = money.Sum(c, lines...); err != nil {
		return Totals{}, err
	}
	if t.Discount, err = money.Sum(c, discounts...); err != nil {
		return Totals{}, err
	}
	goods, err := t.Subtotal.Sub(t.Discount)
	if err != nil {
		return Totals{}, err
	}
	if t.Total, err = goods.Add(shipping); err != nil {
		return Totals{}, err
	}
	return t, nil
}

// sum returns the totals of an order as the sums over its shop orders.
func sum(c money.Currency, parts []Totals) (out Totals, err error) {
	for _, f := range []struct {
		of func(Totals) money.Money
		to *money.Money
	}{
		{func(t Totals) money.Money { return t.Subtotal }, &out.Subtotal},
		{func(t Totals) money.Money { return t.Discount }, &out.Discount},
		{func(t Totals) money.Money { return t.Shipping }, &out.Shipping},
		{func(t Totals) money.Money { return t.Tax }, &out.Tax},
		{func(t Totals) money.Money { return t.Total }, &out.Total},
	} {
		all := make([]money.Money, len(parts))
		for i, p := range parts {
			all[i] = f.of(p)
		}
		if *f.to, err = money.Sum(c, all...); err != nil {
			return Totals{}, err
		}
	}
	return out, nil
}

func tooLarge(err error) error { return errs.Wrap(err, errs.Unprocessable, "the total is too large") }

func unprocessable(path, format string, args ...any) error {
	f := errs.InvalidField(path, format, args...)
	e := errs.New(errs.Unprocessable, "%s", f.Message)
	e.Fields = f.Fields
	return e
}
