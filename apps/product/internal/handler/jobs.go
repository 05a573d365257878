package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
)

const (
	// sweepBatch and forgetBatch are how many reservations one transaction ends, and deletes.
	sweepBatch  = 200
	forgetBatch = 1000
	// forgetEvery is the pause between two looks for reservations that are too old.
	forgetEvery = time.Hour
)

// Sweep has reservations ended whose time is up, every interval, until ctx ends. sweep ends at most so many, and returns
// how many there were.
func Sweep(sweep func(ctx context.Context, most int) (int, error), interval time.Duration, log *zap.Logger) func(context.Context) error {
	return chore.Chore{
		Name: "sweep reservations", Every: interval, Batch: sweepBatch, Logger: log,
		Do: func(ctx context.Context, _ time.Time) (int, error) { return sweep(ctx, sweepBatch) },
	}.Run
}

// LearnWords brings up to date what the search knows of how common words are, every interval, until ctx ends.
func LearnWords(learn func(context.Context) error, interval time.Duration, log *zap.Logger) func(context.Context) error {
	return chore.Chore{
		Name: "learn words", Every: interval, Logger: log,
		Do: func(ctx context.Context, _ time.Time) (int, error) { return 0, learn(ctx) },
	}.Run
}

// Forget has reservations deleted that ended longer ago than keep, until ctx ends; 0: never. forget deletes at most so
// many from before a time, and returns how many there were.
func Forget(forget func(ctx context.Context, before time.Time, most int) (int, error), keep time.Duration, c clock.Clock, log *zap.Logger) func(context.Context) error {
	old := chore.Chore{
		Name: "delete old reservations", Every: forgetEvery, Batch: forgetBatch, Clock: c, Logger: log,
		Do: func(ctx context.Context, now time.Time) (int, error) { return forget(ctx, now.Add(-keep), forgetBatch) },
	}
	if keep <= 0 {
		old.Every = 0
	}
	return old.Run
}
