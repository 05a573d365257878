package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
)

const (
	// forgetEvery is the pause between two looks for what is to be forgotten. Each covers the last week; each fullLook, all
	// that there is, for what was refused late.
	forgetEvery = time.Hour
	forgetWeek  = 7 * 24 * time.Hour
	fullLook    = 24
	// forgetBatch is how many orders one statement changes.
	forgetBatch = 1000
)

// Refused erases the names and addresses of checkouts that were refused.
type Refused interface {
	// ForgetRefused does so for at most so many of those that begun from one time to another, and returns how many.
	ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error)
}

// Forget has them erased after some time, until ctx ends; 0: never. The first look is at all that there is.
func Forget(refused Refused, after time.Duration, c clock.Clock, log *zap.Logger) func(context.Context) error {
	var from time.Time
	looks := 0
	forget := chore.Chore{
		Name: "forget refused checkouts", Every: forgetEvery, Batch: forgetBatch, Clock: c, Logger: log,
		Do: func(ctx context.Context, now time.Time) (int, error) {
			before := now.Add(-after)
			n, err := refused.ForgetRefused(ctx, from, before, forgetBatch)
			if err == nil && n < forgetBatch { // the end of a look
				if from, looks = before.Add(-forgetWeek), looks+1; looks%fullLook == 0 {
					from = time.Time{}
				}
			}
			return n, err
		},
	}
	if after <= 0 {
		forget.Every = 0
	}
	return forget.Run
}
