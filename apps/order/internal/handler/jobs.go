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
	// expireEvery is the poll interval for orders that wait too long for their money, and expireBatch is the most of
	// them in one pass.
	expireEvery = 5 * time.Second
	expireBatch = 100
)

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
