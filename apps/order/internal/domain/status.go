// Package domain holds the rules of orders: how totals add up, and which state changes are allowed.
package domain

import "slices"

// Status is the state of an order or a shop order.
type Status string

// The states of orders and shop orders.
const (
	// Pending means that the checkout runs.
	Pending Status = "pending"
	// Confirmed means that stock is reserved and the payment is authorized.
	Confirmed Status = "confirmed"
	// Shipped means on its way. An order is shipped when all its shop orders are.
	Shipped Status = "shipped"
	// Delivered means arrived. An order is delivered when all its shop orders are.
	Delivered Status = "delivered"
	// Cancelled means that the checkout was refused, or that the shop order was cancelled before it was shipped. An
	// order is cancelled when all its shop orders are.
	Cancelled Status = "cancelled"
)

// Statuses lists every status, in the order in which an order takes them.
var Statuses = []Status{Pending, Confirmed, Shipped, Delivered, Cancelled}

// transitions lists the states that may follow a state, for orders and shop orders alike.
var transitions = map[Status][]Status{
	Pending:   {Confirmed, Cancelled},
	Confirmed: {Shipped, Cancelled},
	Shipped:   {Delivered},
}

// CanBecome reports whether the state may change from s to next.
func (s Status) CanBecome(next Status) bool { return slices.Contains(transitions[s], next) }

// Derive returns the status of a confirmed order from the statuses of its shop orders: that of the least advanced one,
// without those that are cancelled. An order of cancelled ones only is cancelled.
func Derive(parts []Status) Status {
	least := Cancelled
	for _, p := range parts {
		if p != Cancelled && (least == Cancelled || slices.Index(Statuses, p) < slices.Index(Statuses, least)) {
			least = p
		}
	}
	return least
}
