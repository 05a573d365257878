package domain

import (
	"slices"
	"time"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// The cancel codes of shop orders: who cancelled them.
const (
	CancelledByCustomer = "customer"
	CancelledByShop     = "shop"
	CancelledByOperator = "operator"
	// CancelledByExpiry is the code of an order that waited too long for its money.
	CancelledByExpiry = "expired"
)

// CancelRequest asks for the cancellation of shop orders of an order.
type CancelRequest struct {
	// PartIDs are the IDs of the shop orders. Empty means all that were not shipped.
	PartIDs []string
	// By is a cancel code.
	By, Reason string
}

func (r CancelRequest) names(partID string) bool {
	return len(r.PartIDs) == 0 || slices.Contains(r.PartIDs, partID)
}

// retryDropped is when an expired order is cancelled again whose cancellation was dropped.
const retryDropped = time.Hour

// BeginCancel marks shop orders as being cancelled by the saga and returns their IDs. From then on they cannot be
// shipped. It returns none if all that it could mark are cancelled or being cancelled already.
//
// Errors: not_found (no such shop order), conflict (the checkout still runs, or a shop order was shipped).
func (o *Order) BeginCancel(r CancelRequest, sagaID string, at time.Time) (begun []string, err error) {
	if o.Status == Pending {
		return nil, errs.New(errs.Conflict, "the checkout of this order is still running; try again in a moment").
			WithRetryAfter(time.Second)
	}
	for _, partID := range r.PartIDs {
		switch p := o.part(partID); {
		case p == nil:
			return nil, errs.New(errs.NotFound, "there is no such shop order")
		case p.Status != Confirmed && p.Status != Cancelled:
			return nil, errs.New(errs.Conflict, "the shop order is %s: it can no longer be cancelled", p.Status)
		}
	}
	cancelled := false
	for i := range o.Parts {
		p := &o.Parts[i]
		switch {
		case !r.names(p.ID):
		case p.Status == Cancelled || o.cancelling(p):
			cancelled = true
		case p.Status == Confirmed:
			p.CancelID, p.CancelCode, p.CancelReason = sagaID, r.By, r.Reason
			begun = append(begun, p.ID)
		}
	}
	switch {
	case len(begun) > 0:
		if r.By == CancelledByCustomer {
			o.CustomerCancelledAt = at
		}
		o.touch(at)
	case !cancelled:
		return nil, errs.New(errs.Conflict, "the order can no longer be cancelled: all of it was shipped")
	}
	return begun, nil
}

// DropCancel undoes BeginCancel for the shop orders that the saga has not cancelled.
func (o *Order) DropCancel(sagaID string, at time.Time) {
	dropped := false
	for i := range o.Parts {
		if p := &o.Parts[i]; p.CancelID == sagaID && p.Status == Confirmed {
			if p.CancelCode == CancelledByExpiry {
				o.ExpiresAt = at.Add(retryDropped)
			}
			p.CancelID, p.CancelCode, p.CancelReason = "", "", ""
			dropped = true
		}
	}
	if o.CancelID == sagaID && o.Status != Cancelled {
		o.CancelID, o.CancelCode, o.CancelReason = "", "", ""
		dropped = true
	}
	if dropped {
		o.touch(at)
	}
}

// FinishCancel cancels the shop orders that the saga cancels, and returns their IDs. p is the payment as the saga
// left it; a payment that the order knows in a newer version is kept.
func (o *Order) FinishCancel(sagaID string, p Payment, at time.Time) (cancelled []string) {
	for i := range o.Parts {
		part := &o.Parts[i]
		if part.Status == Confirmed && (part.CancelID == sagaID || part.CancelID == "" && o.CancelID == sagaID) {
			part.Status, part.CancelledAt = Cancelled, at
			cancelled = append(cancelled, part.ID)
		}
	}
	if len(cancelled) == 0 {
		return nil
	}
	if p.Version > o.Payment.Version {
		o.Payment.Status, o.Payment.Version = p.Status, p.Version
	}
	o.derive(at)
	return cancelled
}

// Cancelling returns the IDs of the sagas that cancel the shop orders that r names.
func (o *Order) Cancelling(r CancelRequest) (sagaIDs []string) {
	for i := range o.Parts {
		p := &o.Parts[i]
		if !r.names(p.ID) || !o.cancelling(p) {
			continue
		}
		sagaID := p.CancelID
		if sagaID == "" {
			sagaID = o.CancelID
		}
		if !slices.Contains(sagaIDs, sagaID) {
			sagaIDs = append(sagaIDs, sagaID)
		}
	}
	return sagaIDs
}

// cancelling reports whether a saga cancels the shop order and has not finished. An order of the previous release
// names a saga that cancels all of it.
func (o *Order) cancelling(p *ShopOrder) bool {
	return p.Status == Confirmed && (p.CancelID != "" || o.CancelID != "")
}

// Share returns what the shop orders cost, and the variants that they hold.
func (o *Order) Share(partIDs []string) (total money.Money, variantIDs []string, err error) {
	total = money.New(0, o.Totals.Total.Currency())
	for _, p := range o.Parts {
		if !slices.Contains(partIDs, p.ID) {
			continue
		}
		if total, err = total.Add(p.Totals.Total); err != nil {
			return total, nil, err
		}
		for _, it := range p.Items {
			variantIDs = append(variantIDs, it.VariantID)
		}
	}
	return total, variantIDs, nil
}
