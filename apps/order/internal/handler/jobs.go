package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

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
	return func(ctx context.Context) error {
		if after <= 0 {
			<-ctx.Done()
			return nil
		}
		timer := time.NewTimer(0)
		defer timer.Stop()
		var from time.Time
		for looks := 1; ; {
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			timer.Reset(forgetEvery)
			before := c.Now().Add(-after)
			n, err := refused.ForgetRefused(ctx, from, before, forgetBatch)
			switch {
			case err != nil && ctx.Err() == nil:
				log.Warn("refused checkouts not forgotten", zap.Error(err))
			case n == forgetBatch:
				timer.Reset(0)
			case err == nil:
				if from = before.Add(-forgetWeek); looks%fullLook == 0 {
					from = time.Time{}
				}
				looks++
			}
		}
	}
}
