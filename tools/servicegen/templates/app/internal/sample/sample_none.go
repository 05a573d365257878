//go:build none

// Package sample implements the sample service: how an amount is split, and the RPC.
package sample

import "souk/pkg/money"

// Split splits an amount into equal parts. If that is impossible, the first parts get one minor unit more.
func Split(total money.Money, parts int32) []money.Money {
	return total.Split(make([]int64, parts)) // weights that are all zero share equally
}
