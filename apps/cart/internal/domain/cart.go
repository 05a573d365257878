// Package domain holds a cart and its rules.
package domain

import (
	"slices"
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// Limits of a cart: the number of its lines, and the pieces of one line.
const (
	MaxLines    = 200
	MaxQuantity = 9999
)

// Line is a number of pieces of one variant.
type Line struct {
	VariantID string
	Quantity  int64
	// Position orders the lines of a cart. A line added later has a higher one.
	Position int64
}

// Cart is an owner's cart.
type Cart struct {
	OwnerID string
	// Version grows with each change; 0 if the cart is not stored.
	Version int64
	// Currency is the only currency in which offers may be added; "" while the cart is empty.
	Currency money.Currency
	// Lines are in the order in which they were added.
	Lines []Line
	// Merged are the latest merges of guests' carts into this one, latest first.
	Merged []Merge
	// Into is the merge of this guest's cart into a user's; zero if there was none.
	Into Merge
}

// Merge is a merge of a guest's cart with a user's.
type Merge struct {
	// OwnerID is the owner of the other cart.
	OwnerID string
	// Version is the version of both carts right after the merge: its time in microseconds since 1970, or a little
	// more.
	Version int64
}

// Snapshot is a cart as a checkout reads it.
type Snapshot struct {
	Cart
	// ClaimIDs are the owners under whose IDs the checkout claims the cart.
	ClaimIDs []string
	// OrderedIDs are the latest orders whose items were taken out of the cart.
	OrderedIDs []string
}

// claimAfterMerge is how long after a merge a checkout of the user's cart still claims the guest's cart: much longer
// than a checkout of the guest may take.
const claimAfterMerge = 24 * time.Hour

// ClaimIDs returns the owners under whose IDs a checkout claims the cart: its own owner, and the guests whose carts
// were merged into it during the last day. A checkout of such a guest may be in flight, and orders the same items.
func (c Cart) ClaimIDs(now time.Time) []string {
	ids := []string{c.OwnerID}
	for _, m := range c.Merged {
		if m.Version > now.Add(-claimAfterMerge).UnixMicro() {
			ids = append(ids, m.OwnerID)
		}
	}
	return ids
}

// Sort puts the lines in the order in which they were added.
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

// CheckAdd checks that n pieces may be added at once.
//
// Errors: invalid_argument.
func CheckAdd(n int64) error {
	if n < 1 || n > MaxQuantity {
		return errs.InvalidField("quantity", "must be from 1 to %d", MaxQuantity)
	}
	return nil
}

// CheckSet checks that a line may have n pieces; 0 removes the line.
//
// Errors: invalid_argument.
func CheckSet(n int64) error {
	if n < 0 || n > MaxQuantity {
		return errs.InvalidField("quantity", "must be from 0 to %d", MaxQuantity)
	}
	return nil
}

// Errors of a refused change.
var (
	errTooMany = errs.InvalidField("quantity",
		"a cart holds at most %d pieces of a variant, together with those that are in it", MaxQuantity)
	errFull     = errs.New(errs.Unprocessable, "a cart holds at most %d different items", MaxLines)
	errCurrency = errs.New(errs.Unprocessable, "the item is sold in another currency than those in the cart")
	errAbsent   = errs.New(errs.NotFound, "the item is not in the cart")
	errNotSold  = errs.New(errs.NotFound, "there is no such item for sale")
)

// TooMany is the error for more pieces than a line may hold.
//
// Errors: invalid_argument.
func TooMany() error { return errTooMany }

// Full is the error for one line too many.
//
// Errors: unprocessable.
func Full() error { return errFull }

// OtherCurrency is the error for an offer in another currency than the cart's.
//
// Errors: unprocessable.
func OtherCurrency() error { return errCurrency }

// NotInCart is the error for a change of a line that the cart does not have.
//
// Errors: not_found.
func NotInCart() error { return errAbsent }

// NotForSale is the error for a variant that does not exist or is not for sale.
//
// Errors: not_found.
func NotForSale() error { return errNotSold }
