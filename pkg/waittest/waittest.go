// Package waittest waits in tests: for a channel, or for a condition that no signal announces. A wait that takes
// longer than [Timeout] fails the test.
package waittest

import (
	"fmt"
	"testing"
	"time"
)

// Timeout is the longest wait.
const Timeout = 30 * time.Second

// interval is the time between two checks of a condition.
const interval = 5 * time.Millisecond

// Receive returns the next value of ch, and the zero value if ch is closed. After [Timeout] it fails the test and
// returns the zero value too, so it may be called on any goroutine.
func Receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(Timeout):
		t.Error("timeout: nothing was received")
	}
	return v
}

// Until returns when ok returns true. After [Timeout] it ends the test with a message, which is formatted like
// [fmt.Sprintf]'s. It is called on the test's goroutine, and so is ok.
func Until(t testing.TB, ok func() bool, format string, args ...any) {
	t.Helper()
	timeout := time.After(Timeout)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatal("timeout: " + fmt.Sprintf(format, args...))
		}
	}
}
