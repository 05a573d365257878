//go:build !none

// Package domain holds the rules of gadgets.
package domain
