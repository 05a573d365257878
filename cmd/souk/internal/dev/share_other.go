//go:build !linux

package dev

// scheduleAsBatch does nothing. Only Linux has the policy.
func scheduleAsBatch() error { return nil }
