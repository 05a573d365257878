// Package domain is what a cart is, and the rules about it.
package domain

import (
	"slices"
	"strings"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// Limits of a cart.
const (
	MaxLines    = 200
	MaxQuantity = 9999
)

// Line is a number of pieces of one variant.
type Line struct {
	VariantID string
	Quantity  int64
	// Position orders the lines of a cart: what was added later has a higher one.
	Position int64
}

// Cart is whose, and what is in it.
type Cart struct {
	OwnerID string
	// Version grows with each change.
	Version int64
	// Currency of the offers that may be added; "" while the cart is empty.
	Currency money.Currency
	// Lines in the order in which they were added.
	Lines []Line
}

// Sort brings the lines in the order in which they were added.
func (c *Cart) Sort() {
	slices.SortFunc(c.Lines, func(a, b Line) int {
		if a.Position != b.Position {
			if a.Position < b.Position {
				return -1
			}
			return 1
		}
		return strings.Compare(a.VariantID, b.VariantID)
	})
}

// CheckAdd says whether n pieces can be added at once at all. invalid_argument.
func CheckAdd(n int64) error {
	if n < 1 || n > MaxQuantity {
		return errs.InvalidField("quantity", "must be from 1 to %d", MaxQuantity)
	}
	return nil
}

// CheckSet says whether a line may have n pieces; 0 removes it. invalid_argument.
func CheckSet(n int64) error {
	if n < 0 || n > MaxQuantity {
		return errs.InvalidField("quantity", "must be from 0 to %d", MaxQuantity)
	}
	return nil
}

// Refusals of a change.
var (
	errTooMany  = errs.InvalidField("quantity", "a cart holds at most %d pieces of a variant, together with those that are in it", MaxQuantity)
	errFull     = errs.New(errs.Unprocessable, "a cart holds at most %d different items", MaxLines)
	errCurrency = errs.New(errs.Unprocessable, "the item is sold in another currency than those in the cart")
	errNotInIt  = errs.New(errs.NotFound, "the item is not in the cart")
	errNotSold  = errs.New(errs.NotFound, "there is no such item for sale")
)

// TooMany refuses more pieces than a line holds: invalid_argument.
func TooMany() error { return errTooMany }

// Full refuses another line: unprocessable.
func Full() error { return errFull }

// OtherCurrency refuses an offer of another currency than the cart's: unprocessable.
func OtherCurrency() error { return errCurrency }

// NotInCart refuses to change a line that is not there: not_found.
func NotInCart() error { return errNotInIt }

// NotForSale refuses what nobody sells: not_found.
func NotForSale() error { return errNotSold }
