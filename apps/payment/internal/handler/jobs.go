package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/service"
	"souk/pkg/chore"
)

// forgetBatch is the largest number of rows that one pass deletes.
const forgetBatch = 1000

// Reconcile applies open outcomes, every interval, until ctx ends. While it finds any it goes on without a
// pause: an outage leaves more behind than one pass handles.
func Reconcile(s *service.Service, interval, openFor, giveUp time.Duration) func(context.Context) error {
	return chore.Chore{
		Name: "reconcile payments", Every: interval, Batch: 1, Logger: s.Logger,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return s.Reconcile(ctx, openFor, giveUp) },
	}.Run
}

// Forget deletes old rows, every interval, until ctx ends. It deletes in batches, so that no statement holds
// its locks for long, and without a pause while there are more.
func Forget(
	forget func(ctx context.Context, limit int) (int, error), interval time.Duration, log *zap.Logger,
) func(context.Context) error {
	return chore.Chore{
		Name: "delete old rows", Every: interval, Batch: forgetBatch, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return forget(ctx, forgetBatch) },
	}.Run
}
