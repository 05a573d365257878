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

// State is where a reservation stands.
type State string

// The states of a reservation.
const (
	// Held: its pieces are reserved for the order.
	Held State = "held"
	// Released: its pieces were given back because the order did not come about.
	Released State = "released"
	// Expired: its pieces were given back because its time was up.
	Expired State = "expired"
	// Committed: its pieces are sold.
	Committed State = "committed"
	// Restocked: its pieces were sold and came back.
	Restocked State = "restocked"
	// Tombstone: it was released before it came; a reservation that comes late is refused.
	Tombstone State = "tombstone"
)

// none is the state of a reservation that nobody has heard of.
const none State = ""

// transitions are all moves that there are. Whatever is not here is refused.
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
}

// Merge adds up lines of the same variant and sorts them by variant. It fails with errs.Invalid.
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

// RequestHash tells requests for different lines apart.
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

// Stock is how many pieces of a variant there are, and what of the variant a reservation must know.
type Stock struct {
	VariantID, ProductID, ShopID string
	SKU, Title                   string
	OnHand, Reserved             int64
	// ForSale: the variant is there, its product active and its shop not suspended.
	ForSale bool
}

// Available is how many pieces can be reserved.
func (s *Stock) Available() int64 { return s.OnHand - s.Reserved }
