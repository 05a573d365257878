package domain

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"souk/pkg/errs"
)

// State is the state of a reservation.
type State string

// The states of a reservation.
const (
	// Held: the pieces are reserved for the order.
	Held State = "held"
	// Released: the pieces were given back because the order failed.
	Released State = "released"
	// Expired: the pieces were given back because the time was up.
	Expired State = "expired"
	// Committed: the pieces are sold.
	Committed State = "committed"
	// Restocked: the pieces were sold and came back, all of them. A reservation with lines left stays committed.
	Restocked State = "restocked"
	// Tombstone: the release came before the reservation, which is refused.
	Tombstone State = "tombstone"
)

// none is the state of an order without a reservation.
const none State = ""

// transitions lists the allowed transitions. All others are refused.
var transitions = map[State][]State{
	none:      {Held, Tombstone},
	Held:      {Released, Expired, Committed},
	Expired:   {Committed, Released},
	Committed: {Restocked},
}

// CanBecome reports whether a reservation may move from s to next.
func (s State) CanBecome(next State) bool { return slices.Contains(transitions[s], next) }

// Line is a number of pieces of one variant.
type Line struct {
	VariantID string
	Quantity  int64
	// Restocked reports that the pieces of a reservation's line went back on hand.
	Restocked bool
}

// Merge adds up lines of the same variant and sorts them by variant.
//
// Errors: invalid_argument.
func Merge(lines []Line) ([]Line, error) {
	sum := map[string]int64{}
	for _, l := range lines {
		if err := Text("lines.variantId", l.VariantID); err != nil {
			return nil, err
		}
		if l.Quantity < 1 || sum[l.VariantID] > math.MaxInt32 {
			return nil, errs.InvalidField("lines.quantity", "must be from 1 to 1000000")
		}
		sum[l.VariantID] += l.Quantity
	}
	merged := make([]Line, 0, len(sum))
	for variantID, n := range sum {
		merged = append(merged, Line{VariantID: variantID, Quantity: n})
	}
	slices.SortFunc(merged, func(a, b Line) int { return cmp.Compare(a.VariantID, b.VariantID) })
	return merged, nil
}

// RequestHash returns a hash that differs for different lines.
func RequestHash(lines []Line) []byte {
	h := sha256.New()
	for _, l := range lines {
		h.Write(binary.AppendUvarint(nil, uint64(len(l.VariantID))))
		h.Write([]byte(l.VariantID))
		h.Write(binary.AppendVarint(nil, l.Quantity))
	}
	return h.Sum(nil)
}

// Reservation holds pieces for an order.
type Reservation struct {
	OrderID   string
	State     State
	Hash      []byte
	Lines     []Line
	ExpiresAt time.Time
}

// Stock is the stock of a variant, with the facts about the variant that a reservation needs.
type Stock struct {
	VariantID, ProductID, ShopID string
	SKU, Title                   string
	OnHand, Reserved             int64
	// ForSale reports that variant and product are not deleted, the product is active and the shop sells.
	ForSale bool
}

// Available is how many pieces can be reserved.
func (s *Stock) Available() int64 { return s.OnHand - s.Reserved }
