package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
)

const (
	// sweepBatch and forgetBatch are how many reservations one transaction expires and deletes at most.
	sweepBatch  = 200
	forgetBatch = 1000
	// forgetEvery is the poll interval for reservations that are too old.
	forgetEvery = time.Hour
)

// Sweep returns a chore that expires reservations whose time is up, every interval. sweep expires at most limit
// of them and returns how many there were.
func Sweep(
	sweep func(ctx context.Context, limit int) (int, error), interval time.Duration, log *zap.Logger,
) func(context.Context) error {
	return chore.Chore{
		Name: "sweep reservations", Every: interval, Batch: sweepBatch, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return sweep(ctx, sweepBatch) },
	}.Run
}

// LearnWords returns a chore that updates what the search knows about the frequency of words, when woken and every
// interval.
func LearnWords(
	learn func(context.Context) error, interval time.Duration, wake chore.Wake, log *zap.Logger,
) func(context.Context) error {
	return chore.Chore{
		Name: "learn words", Every: interval, Wake: wake, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return 0, learn(ctx) },
	}.Run
}

// Forget returns a chore that deletes reservations that ended longer ago than keep; 0 deletes none. forget
// deletes at most limit that ended before a time, and returns how many there were.
func Forget(
	forget func(ctx context.Context, before time.Time, limit int) (int, error), keep time.Duration, c clock.Clock,
	log *zap.Logger,
) func(context.Context) error {
	old := chore.Chore{
		Name: "delete old reservations", Every: forgetEvery, Batch: forgetBatch, Clock: c, Logger: log,
		Pass: func(ctx context.Context, now time.Time) (int, error) { return forget(ctx, now.Add(-keep), forgetBatch) },
	}
	if keep <= 0 {
		old.Every = 0
	}
	return old.Run
}
