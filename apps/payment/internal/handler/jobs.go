package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/service"
)

// forgetBatch is how many rows of a table one pass deletes at most.
const forgetBatch = 1000

// Reconcile settles what was left open, every interval, until ctx ends.
func Reconcile(s *service.Service, interval, openFor, giveUp time.Duration) func(context.Context) error {
	return every(interval, s.Logger, "payments not reconciled", 1, func(ctx context.Context) (int, error) { return s.Reconcile(ctx, openFor, giveUp) })
}

// Deliver delivers the sandbox's webhooks, every interval, until ctx ends: those of an interval share a request. While
// there are as many as one pass takes it does so without a pause.
func Deliver(deliver func(context.Context) (int, error), interval time.Duration, many int, log *zap.Logger) func(context.Context) error {
	return every(interval, log, "webhooks not delivered", many, deliver)
}

// Forget deletes old rows, every interval, until ctx ends: in batches, so that none holds a table's attention for long,
// and without a pause while there are more.
func Forget(forget func(ctx context.Context, most int) (int, error), interval time.Duration, log *zap.Logger) func(context.Context) error {
	return every(interval, log, "old rows not deleted", forgetBatch, func(ctx context.Context) (int, error) { return forget(ctx, forgetBatch) })
}

// every does f again and again; as long as it does many things at once, without a pause.
func every(interval time.Duration, log *zap.Logger, failed string, many int, f func(context.Context) (int, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		timer := time.NewTimer(interval)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			n, err := f(ctx)
			if err != nil && ctx.Err() == nil {
				log.Warn(failed, zap.Error(err))
			}
			pause := interval
			if n >= many && err == nil {
				pause = 0
			}
			timer.Reset(pause)
		}
	}
}
