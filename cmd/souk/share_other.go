//go:build !linux

package main

// scheduleAsBatch does nothing. Only Linux has the policy.
func scheduleAsBatch() error { return nil }
