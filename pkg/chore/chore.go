// Package chore runs background tasks that poll: they look for work at an interval, and at once when they are woken.
//
// [Chore] is the usual form: delete expired rows, reconcile, refresh. [Loop] is the loop under it, for tasks with a
// rhythm of their own. Every process runs its own chores. So a chore must allow several passes at the same time, and a
// pass may be interrupted: a later one does the rest.
package chore

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/clock"
)

// Chore is a task that runs in passes, one after the other. Name, Pass and Logger are required.
type Chore struct {
	// Name names the chore in the log, e.g. "delete old carts".
	Name string
	// Pass makes a pass as of now. It returns the number of things that it handled.
	Pass func(ctx context.Context, now time.Time) (int, error)
	// Every is the poll interval: the delay after a pass. 0 means that the chore never runs.
	Every time.Duration
	// Batch is the size of a full pass. The next pass follows a full one at once. 0 means that no pass is full.
	Batch int
	// Wake starts a pass at once. Nil means that nothing does.
	Wake Wake
	// Clock gives the time of a pass. Nil means the system's clock.
	Clock clock.Clock
	// Logger takes failures: the first of several in a row, and the success that ends them.
	Logger *zap.Logger
}

// Run makes passes until ctx ends, the first at once. It returns nil. It logs a failed pass and makes the next one
// after the interval.
func (c Chore) Run(ctx context.Context) error {
	if c.Every <= 0 {
		<-ctx.Done()
		return nil
	}
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	failing := false
	return Loop(ctx, c.Wake, func(ctx context.Context, _ bool) (time.Duration, error) {
		n, err := c.Pass(ctx, c.Clock.Now())
		switch {
		case ctx.Err() != nil: // the pass was interrupted
		case err != nil && !failing:
			c.Logger.Warn("a chore failed; it will be retried", zap.String("chore", c.Name), zap.Error(err))
		case err == nil && failing:
			c.Logger.Info("a chore works again", zap.String("chore", c.Name))
		}
		failing = err != nil
		if err == nil && c.Batch > 0 && n >= c.Batch {
			return 0, nil
		}
		return c.Every, nil
	})
}
