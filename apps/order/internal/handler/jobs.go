package handler

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/errs"
)

const (
	// forgetEvery is the poll interval for refused checkouts to erase. A tick covers the last forgetWeek before the
	// retention's end; every fullScan ticks it covers all checkouts, including those that were refused late.
	forgetEvery = time.Hour
	forgetWeek  = 7 * 24 * time.Hour
	fullScan    = 24
	// forgetBatch is the most orders that one statement changes.
	forgetBatch = 1000
	// expireEvery is the poll interval for orders that wait too long for their money, and expireBatch is the most of
	// them in one pass.
	expireEvery = 5 * time.Second
	expireBatch = 100
)

// Refused erases the names and addresses of refused checkouts.
type Refused interface {
	// ForgetRefused erases at most most refused checkouts that began in [from, before), and returns their number.
	ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error)
}

// Unpaid finds orders that waited too long for their money.
type Unpaid interface {
	// Expired returns the IDs of at most limit such orders.
	Expired(ctx context.Context, now time.Time, limit int) ([]string, error)
}

// Expire returns a chore that cancels what was not shipped of orders that waited too long for their money. cancel
// begins to cancel one; it may find that another caller was faster (conflict).
func Expire(
	unpaid Unpaid, cancel func(ctx context.Context, orderID string) error, c clock.Clock, log *zap.Logger,
) func(context.Context) error {
	return chore.Chore{
		Name: "cancel unpaid orders", Every: expireEvery, Batch: expireBatch, Clock: c, Logger: log,
		Pass: func(ctx context.Context, now time.Time) (int, error) {
			orderIDs, err := unpaid.Expired(ctx, now, expireBatch)
			for _, orderID := range orderIDs {
				if one := cancel(ctx, orderID); one != nil && !errs.Is(one, errs.Conflict) {
					err = errors.Join(err, one)
				}
			}
			return len(orderIDs), err
		},
	}.Run
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
