// Package chore does what is to be done now and then: looks for what has lapsed, deletes what is old.
//
// Every process does its chores by itself, so a chore must bear being done by several at once, and may be cut short at
// any time: what is left is done by a later pass.
package chore

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/clock"
)

// Chore is something that is done again and again, one pass after the other. Name, Do and Logger are required.
type Chore struct {
	// Name says in the log what failed, e.g. "delete old carts".
	Name string
	// Do makes a pass, as of now, and returns how many things it did.
	Do func(ctx context.Context, now time.Time) (int, error)
	// Every is the pause between two passes; 0: no pass is ever made.
	Every time.Duration
	// Batch is from how many things on a pass is full: a full pass is followed by the next without a pause. 0: none is full.
	Batch int
	// Clock; nil: the system's.
	Clock  clock.Clock
	Logger *zap.Logger
}

// Run makes passes until ctx ends, the first at once, and returns nil. A pass that fails is logged, and the next one
// comes after the pause.
func (c Chore) Run(ctx context.Context) error {
	if c.Every <= 0 {
		<-ctx.Done()
		return nil
	}
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	timer := time.NewTimer(c.Every)
	defer timer.Stop()
	for ctx.Err() == nil {
		n, err := c.Do(ctx, c.Clock.Now())
		if err != nil && ctx.Err() == nil {
			c.Logger.Warn("a chore was not done; it comes again", zap.String("chore", c.Name), zap.Error(err))
		}
		if err == nil && c.Batch > 0 && n >= c.Batch {
			continue
		}
		timer.Reset(c.Every)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return nil
}
