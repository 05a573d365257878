package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/service"
	"souk/pkg/chore"
)

// forgetBatch is how many rows of a table one pass deletes at most.
const forgetBatch = 1000

// Reconcile settles what was left open, every interval, until ctx ends. While there is something to settle it goes on
// without a pause: an outage leaves more behind than one pass looks at.
func Reconcile(s *service.Service, interval, openFor, giveUp time.Duration) func(context.Context) error {
	return chore.Chore{
		Name: "reconcile payments", Every: interval, Batch: 1, Logger: s.Logger,
		Do: func(ctx context.Context, _ time.Time) (int, error) { return s.Reconcile(ctx, openFor, giveUp) },
	}.Run
}

// WriteAuthorizations writes authorizations that have waited for their captures for long enough, until ctx ends.
func WriteAuthorizations(s *service.Service) func(context.Context) error {
	return chore.Chore{
		Name: "write authorizations", Every: service.WriteAfter / 2, Logger: s.Logger,
		Do: func(ctx context.Context, _ time.Time) (int, error) { return s.WriteAuthorizations(ctx), nil },
	}.Run
}

// Deliver delivers the sandbox's webhooks, every interval, until ctx ends: those of an interval share a request. While
// there are as many as one pass takes it does so without a pause.
func Deliver(deliver func(context.Context) (int, error), interval time.Duration, many int, log *zap.Logger) func(context.Context) error {
	return chore.Chore{
		Name: "deliver webhooks", Every: interval, Batch: many, Logger: log,
		Do: func(ctx context.Context, _ time.Time) (int, error) { return deliver(ctx) },
	}.Run
}

// Forget deletes old rows, every interval, until ctx ends: in batches, so that none holds a table's attention for long,
// and without a pause while there are more.
func Forget(forget func(ctx context.Context, most int) (int, error), interval time.Duration, log *zap.Logger) func(context.Context) error {
	return chore.Chore{
		Name: "delete old rows", Every: interval, Batch: forgetBatch, Logger: log,
		Do: func(ctx context.Context, _ time.Time) (int, error) { return forget(ctx, forgetBatch) },
	}.Run
}
