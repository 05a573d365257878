package handler

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// Jobs is what is done now and then.
type Jobs interface {
	// Sweep ends reservations whose time is up, at most so many, and returns how many there were.
	Sweep(ctx context.Context, most int) (int, error)
	// LearnWords brings up to date what the search knows of how common words are.
	LearnWords(ctx context.Context) error
}

// sweepBatch is how many reservations one transaction ends.
const sweepBatch = 200

// Every runs what is done now and then, until ctx ends. What fails is logged, and done the next time.
func Every(jobs Jobs, sweep, learn time.Duration, logger *zap.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		sweeps, learns := time.NewTicker(sweep), time.NewTicker(learn)
		defer sweeps.Stop()
		defer learns.Stop()
		if err := jobs.LearnWords(ctx); err != nil && ctx.Err() == nil {
			logger.Warn("word statistics not read", zap.Error(err))
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-sweeps.C:
				sweepAll(ctx, jobs, logger)
			case <-learns.C:
				if err := jobs.LearnWords(ctx); err != nil && ctx.Err() == nil {
					logger.Warn("word statistics not read", zap.Error(err))
				}
			}
		}
	}
}

func sweepAll(ctx context.Context, jobs Jobs, logger *zap.Logger) {
	for {
		n, err := jobs.Sweep(ctx, sweepBatch)
		if err != nil && ctx.Err() == nil {
			logger.Warn("reservations not swept", zap.Error(err))
		}
		if err != nil || n < sweepBatch {
			return
		}
	}
}
