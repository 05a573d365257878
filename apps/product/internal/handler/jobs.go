package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/clock"
)

// Jobs is what is done now and then.
type Jobs interface {
	// Sweep ends reservations whose time is up, at most so many, and returns how many there were.
	Sweep(ctx context.Context, most int) (int, error)
	// LearnWords brings up to date what the search knows of how common words are.
	LearnWords(ctx context.Context) error
	// Forget deletes reservations that ended before the time, at most so many, and returns how many there were.
	Forget(ctx context.Context, before time.Time, most int) (int, error)
}

const (
	// sweepBatch and forgetBatch are how many reservations one transaction ends, and deletes.
	sweepBatch  = 200
	forgetBatch = 1000
	// forgetEvery is the pause between two looks for reservations that are too old.
	forgetEvery = time.Hour
)

// Times say how often things are done.
type Times struct {
	// Sweep and Learn are pauses between two times.
	Sweep, Learn time.Duration
	// Keep is how long reservations are kept that have ended; 0: for ever.
	Keep time.Duration
}

// Every runs what is done now and then, until ctx ends. What fails is logged, and done the next time.
func Every(jobs Jobs, times Times, c clock.Clock, logger *zap.Logger) func(context.Context) error {
	learn := func(ctx context.Context) {
		if err := jobs.LearnWords(ctx); err != nil && ctx.Err() == nil {
			logger.Warn("word statistics not read", zap.Error(err))
		}
	}
	sweep := func(ctx context.Context) {
		if err := all(sweepBatch, func() (int, error) { return jobs.Sweep(ctx, sweepBatch) }); err != nil && ctx.Err() == nil {
			logger.Warn("reservations not swept", zap.Error(err))
		}
	}
	forget := func(ctx context.Context) {
		if times.Keep <= 0 {
			return
		}
		before := c.Now().Add(-times.Keep)
		if err := all(forgetBatch, func() (int, error) { return jobs.Forget(ctx, before, forgetBatch) }); err != nil && ctx.Err() == nil {
			logger.Warn("old reservations not deleted", zap.Error(err))
		}
	}
	return func(ctx context.Context) error {
		sweeps, learns, forgets := time.NewTicker(times.Sweep), time.NewTicker(times.Learn), time.NewTicker(forgetEvery)
		defer sweeps.Stop()
		defer learns.Stop()
		defer forgets.Stop()
		learn(ctx)
		forget(ctx)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-sweeps.C:
				sweep(ctx)
			case <-learns.C:
				learn(ctx)
			case <-forgets.C:
				forget(ctx)
			}
		}
	}
}

// all does something in batches until one is not full.
func all(batch int, do func() (int, error)) error {
	for {
		if n, err := do(); err != nil || n < batch {
			return err
		}
	}
}
