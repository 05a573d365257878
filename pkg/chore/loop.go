package chore

import (
	"context"
	"time"
)

// Wake starts a loop's next tick at once. Make one with [NewWake]; several goroutines may use it. A loop without a Wake
// has a nil one.
type Wake chan struct{}

// NewWake returns a Wake.
func NewWake() Wake { return make(Wake, 1) }

// Now starts the next tick. It never blocks. All calls before that tick begins start one tick.
func (w Wake) Now() {
	select {
	case w <- struct{}{}:
	default: // a wake is pending already
	}
}

// Keep is what a tick returns to leave the pending poll as it is.
const Keep time.Duration = -1

// Loop calls tick until ctx ends: at once, when wake is used, and at the poll that the tick before has asked for. Ticks
// never overlap. A tick returns the time until the next poll, or [Keep]; woken reports whether a wake started it.
//
// Loop returns the first error of a tick, or nil when ctx ends. A tick that can go on after an error handles it itself,
// as [Chore] does.
func Loop(ctx context.Context, wake Wake, tick func(ctx context.Context, woken bool) (time.Duration, error)) error {
	poll := time.NewTimer(0)
	defer poll.Stop()
	for {
		woken := false
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			woken = true
		case <-poll.C:
		}
		next, err := tick(ctx, woken)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case next != Keep:
			poll.Reset(next)
		}
	}
}
