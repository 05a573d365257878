//go:build !linux

package main

// scheduleAsBatch does nothing: Linux alone knows the policy.
func scheduleAsBatch() error { return nil }
