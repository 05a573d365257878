// Package clock provides the time to code that must not call time.Now.
package clock

import (
	"sync"
	"time"
)

// Clock returns the current time. Domain and service code takes a Clock instead of calling time.Now.
type Clock interface {
	Now() time.Time
}

// System is the system's clock, in UTC and truncated to microseconds, PostgreSQL's precision.
type System struct{}

// Now returns the current time.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Manual is a clock that moves only when Advance is called. It is safe for concurrent use.
type Manual struct {
	mu  sync.Mutex
	now time.Time
}

// NewManual returns a clock set to start.
func NewManual(start time.Time) *Manual { return &Manual{now: start.UTC()} }

// Now returns the clock's time.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock forward by d.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}
