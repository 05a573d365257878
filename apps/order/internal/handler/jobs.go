package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
)

const (
	// forgetEvery is the poll interval for refused checkouts to erase. A tick covers the last forgetWeek before the
	// retention's end; every fullScan ticks it covers all checkouts, including those that were refused late.
	forgetEvery = time.Hour
	forgetWeek  = 7 * 24 * time.Hour
	fullScan    = 24
	// forgetBatch is the most orders that one statement changes.
	forgetBatch = 1000
)

// Refused erases the names and addresses of refused checkouts.
type Refused interface {
	// ForgetRefused erases at most most refused checkouts that began in [from, before), and returns their number.
	ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error)
}

// Forget returns a chore that erases the names and addresses of refused checkouts after a retention; 0 keeps them
// for ever. Its first pass covers all checkouts.
func Forget(refused Refused, after time.Duration, c clock.Clock, log *zap.Logger) func(context.Context) error {
	var from time.Time
	scans := 0
	forget := chore.Chore{
		Name: "forget refused checkouts", Every: forgetEvery, Batch: forgetBatch, Clock: c, Logger: log,
		Pass: func(ctx context.Context, now time.Time) (int, error) {
			before := now.Add(-after)
			n, err := refused.ForgetRefused(ctx, from, before, forgetBatch)
			if err == nil && n < forgetBatch { // the scan is complete
				if from, scans = before.Add(-forgetWeek), scans+1; scans%fullScan == 0 {
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
