package handler

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// relistInterval is the poll interval for changed shops whose process died before it woke the relister.
const relistInterval = 5 * time.Second

// Listings refreshes the listings of changed shops.
type Listings interface {
	// Relist refreshes some of them and reports whether there may be more.
	Relist(ctx context.Context) (more bool, err error)
}

// Relister refreshes the listings of changed shops.
type Relister struct {
	listings Listings
	logger   *zap.Logger
	wake     chan struct{}
}

// NewRelister returns a relister. The caller must call [Relister.Run].
func NewRelister(listings Listings, logger *zap.Logger) *Relister {
	return &Relister{listings: listings, logger: logger, wake: make(chan struct{}, 1)}
}

// Wake starts the next tick at once.
func (r *Relister) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // a wake is pending already
	}
}

// Run refreshes listings until ctx ends. It logs a failure and retries at the next tick.
func (r *Relister) Run(ctx context.Context) error {
	tick := time.NewTicker(relistInterval)
	defer tick.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = r.listings.Relist(ctx); err != nil && ctx.Err() == nil {
				r.logger.Warn("listings of a changed shop not refreshed", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
		}
	}
}
