package domain

import (
	"time"

	"souk/pkg/errs"
)

// KeptAdjustments is how many adjustments of a variant's stock are kept.
const KeptAdjustments = 100

// Adjustment is a relative change of a variant's stock by a seller.
type Adjustment struct {
	ID        string
	VariantID string
	Delta     int64
	Reason    string
	// OnHand is the number of pieces after it.
	OnHand int64
	// By is the ID of the user who made it.
	By string
	// Key is a hash of the caller's idempotency key; nil: the caller sent none.
	Key       []byte
	CreatedAt time.Time
}

// Adjust returns the number of pieces on hand after a relative change.
//
// Errors: invalid_argument, conflict (more pieces are reserved).
func (s Stock) Adjust(delta int64) (onHand int64, err error) {
	onHand = s.OnHand + delta
	switch {
	case delta == 0:
		return 0, errs.InvalidField("delta", "must not be 0")
	case onHand > MaxOnHand:
		return 0, errs.InvalidField("delta", "no more than %d pieces can be on hand", int64(MaxOnHand))
	case onHand < 0:
		return 0, errs.New(errs.Conflict, "only %d pieces are on hand", s.OnHand)
	}
	return onHand, s.mayHave(onHand)
}

// mayHave checks that the pieces on hand can become onHand.
//
// Errors: conflict.
func (s Stock) mayHave(onHand int64) error {
	if onHand < s.Reserved {
		return errs.New(errs.Conflict, "%d pieces are reserved by open orders: on hand cannot be less", s.Reserved)
	}
	return nil
}

// Set returns onHand if the pieces on hand can become that.
//
// Errors: conflict (more pieces are reserved).
func (s Stock) Set(onHand int64) (int64, error) { return onHand, s.mayHave(onHand) }
