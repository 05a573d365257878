// Package clock gives the time to code that must not ask the system for it.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time. Domain and service code takes one instead of calling time.Now.
type Clock interface {
	Now() time.Time
}

// System is the machine's clock, in UTC and cut to microseconds, which is what PostgreSQL keeps.
type System struct{}

// Now returns the current time.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Manual is a clock that moves only when it is told to. It may be used by several goroutines.
type Manual struct {
	mu  sync.Mutex
	now time.Time
}

// NewManual returns a clock that stands at start.
func NewManual(start time.Time) *Manual { return &Manual{now: start.UTC()} }

// Now returns where the clock stands.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock on by d.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}
