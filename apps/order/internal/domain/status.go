// Package domain is the rules of orders: what a checkout adds up to, and which states follow which.
package domain

import "slices"

// Status is where an order, or one shop's part of it, stands.
type Status string

// The states of orders and of their parts.
const (
	// Pending: the checkout runs.
	Pending Status = "pending"
	// Confirmed: stock is held and the payment authorized.
	Confirmed Status = "confirmed"
	// Shipped: on its way; an order is when all of its parts are.
	Shipped Status = "shipped"
	// Delivered: arrived; an order is when all of its parts are.
	Delivered Status = "delivered"
	// Cancelled: the checkout was refused, or the customer cancelled before anything was shipped.
	Cancelled Status = "cancelled"
)

// Statuses lists every status.
var Statuses = []Status{Pending, Confirmed, Shipped, Delivered, Cancelled}

// transitions says what may follow, for orders and for parts alike.
var transitions = map[Status][]Status{
	Pending:   {Confirmed, Cancelled},
	Confirmed: {Shipped, Cancelled},
	Shipped:   {Delivered},
}

// CanBecome reports whether next may follow s.
func (s Status) CanBecome(next Status) bool { return slices.Contains(transitions[s], next) }

// Derive returns the status of a confirmed order from those of its parts: an order is as far as the
// part that is behind all others.
func Derive(parts []Status) Status {
	shipped, delivered := 0, 0
	for _, p := range parts {
		switch p {
		case Delivered:
			delivered++
			shipped++
		case Shipped:
			shipped++
		}
	}
	switch {
	case delivered == len(parts):
		return Delivered
	case shipped == len(parts):
		return Shipped
	default:
		return Confirmed
	}
}
