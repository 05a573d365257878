package domain

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"souk/pkg/errs"
)

// Ledger applies operations to reservations in memory. The caller reads and locks the stocks and reservations
// that the operations touch, and writes back what has changed.
type Ledger struct {
	Stocks       map[string]*Stock
	Reservations map[string]*Reservation
}

// Reserve holds all lines for the order until expiresAt, or none. If they are reserved already, it returns the
// same reservation and changed=false.
//
// Errors: out_of_stock (its fields name every short variant and what is available), not_found (unknown variant),
// conflict (the order has other lines, or its reservation is over).
func (l *Ledger) Reserve(
	orderID string, lines []Line, hash []byte, expiresAt time.Time,
) (r *Reservation, changed bool, err error) {
	if r := l.Reservations[orderID]; r != nil {
		switch {
		case r.State != Held && r.State != Committed:
			return nil, false, errs.New(errs.Conflict, "the reservation of order %s is over: %s", orderID, r.State)
		case !bytes.Equal(r.Hash, hash):
			return nil, false, errs.New(errs.Conflict, "order %s has reserved other lines", orderID)
		}
		return r, false, nil
	}
	if err := l.check(lines); err != nil {
		return nil, false, err
	}
	for _, line := range lines {
		l.Stocks[line.VariantID].Reserved += line.Quantity
	}
	r = &Reservation{OrderID: orderID, State: Held, Hash: hash, Lines: lines, ExpiresAt: expiresAt}
	l.Reservations[orderID] = r
	return r, true, nil
}

// check returns an error unless all lines can be reserved now.
func (l *Ledger) check(lines []Line) error {
	var short []errs.Field
	first := ""
	for _, line := range lines {
		s := l.Stocks[line.VariantID]
		state, message := "is out of stock", ""
		switch {
		case s == nil:
			return errs.New(errs.NotFound, "there is no variant %s", line.VariantID)
		case !s.ForSale:
			state = "is no longer for sale"
			message = state
		case s.Available() < line.Quantity:
			message = fmt.Sprintf("%d of %d pieces are available", s.Available(), line.Quantity)
		default:
			continue
		}
		if first == "" {
			first = s.Title + " (" + s.SKU + ") " + state
		}
		short = append(short, errs.Field{Path: line.VariantID, Message: message})
	}
	if len(short) == 0 {
		return nil
	}
	e := errs.New(errs.OutOfStock, "%s", first)
	e.Fields = short
	return e
}

// Release gives back the pieces of a held reservation. An unknown order gets a tombstone. A reservation that is
// over stays as it is.
//
// Errors: conflict (the pieces are sold).
func (l *Ledger) Release(orderID string, now time.Time) (changed bool, err error) {
	r := l.Reservations[orderID]
	switch {
	case r == nil:
		l.Reservations[orderID] = &Reservation{OrderID: orderID, State: Tombstone, ExpiresAt: now}
		return true, nil
	case r.State == Held:
		l.unhold(r)
		r.State = Released
		return true, nil
	case r.State == Expired:
		r.State = Released
		return true, nil
	case r.State == Committed:
		return false, errs.New(errs.Conflict,
			"the pieces of order %s are sold: they can be restocked, not released", orderID)
	}
	return false, nil
}

// Expire gives back the pieces of a held reservation that has expired. Any other reservation stays as it is.
func (l *Ledger) Expire(orderID string, now time.Time) (changed bool) {
	r := l.Reservations[orderID]
	if r == nil || r.State != Held || r.ExpiresAt.After(now) {
		return false
	}
	l.unhold(r)
	r.State = Expired
	return true
}

// Commit makes a reservation a sale. An expired reservation is sold too, as long as pieces are available.
//
// Errors: not_found, out_of_stock (it expired and its pieces are gone; a retry may succeed), conflict (it was
// released).
func (l *Ledger) Commit(orderID string) (changed bool, err error) {
	r := l.Reservations[orderID]
	switch {
	case r == nil:
		return false, errs.New(errs.NotFound, "order %s has reserved nothing", orderID)
	case r.State == Committed:
		return false, nil
	case !r.State.CanBecome(Committed):
		return false, errs.New(errs.Conflict, "the reservation of order %s is over: %s", orderID, r.State)
	}
	if r.State == Expired {
		if err := l.reclaim(r); err != nil {
			return false, err
		}
	}
	for _, line := range r.Lines {
		s := l.Stocks[line.VariantID]
		s.OnHand -= line.Quantity
		s.Reserved -= line.Quantity
	}
	r.State = Committed
	return true, nil
}

// reclaim reserves the lines of an expired reservation again. The order is paid for by now, so a product that is
// no longer for sale is still delivered.
func (l *Ledger) reclaim(r *Reservation) error {
	for _, line := range r.Lines {
		if s := l.Stocks[line.VariantID]; s.Available() < line.Quantity {
			e := errs.New(errs.OutOfStock, "the reservation of order %s has expired, and %s (%s) is out of stock",
				r.OrderID, s.Title, s.SKU)
			e.Fields = []errs.Field{{Path: line.VariantID, Message: "is out of stock"}}
			return e
		}
	}
	for _, line := range r.Lines {
		l.Stocks[line.VariantID].Reserved += line.Quantity
	}
	return nil
}

// Restock puts the pieces of a sale back on hand: those of the variants, or all that are left if no variant is given.
// It returns the lines that went back. A line goes back once.
//
// Errors: not_found (also if the order has no line of a variant), conflict (nothing was sold).
func (l *Ledger) Restock(orderID string, variantIDs []string) (back []Line, err error) {
	r := l.Reservations[orderID]
	switch {
	case r == nil:
		return nil, errs.New(errs.NotFound, "order %s has reserved nothing", orderID)
	case r.State == Restocked:
		return nil, nil
	case !r.State.CanBecome(Restocked):
		return nil, errs.New(errs.Conflict, "the pieces of order %s are not sold: %s", orderID, r.State)
	}
	for _, variantID := range variantIDs {
		if !slices.ContainsFunc(r.Lines, func(line Line) bool { return line.VariantID == variantID }) {
			return nil, errs.New(errs.NotFound, "order %s has reserved no %s", orderID, variantID)
		}
	}
	left := 0
	for i := range r.Lines {
		line := &r.Lines[i]
		switch {
		case line.Restocked:
		case len(variantIDs) > 0 && !slices.Contains(variantIDs, line.VariantID):
			left++
		default:
			l.Stocks[line.VariantID].OnHand += line.Quantity
			line.Restocked = true
			back = append(back, *line)
		}
	}
	if left == 0 {
		r.State = Restocked
	}
	return back, nil
}

func (l *Ledger) unhold(r *Reservation) {
	for _, line := range r.Lines {
		l.Stocks[line.VariantID].Reserved -= line.Quantity
	}
}
