package handler

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// relistEvery is how often shops are looked for that nobody told of: those of a process that died.
const relistEvery = 5 * time.Second

// Listings are made anew when their shop has changed.
type Listings interface {
	// Relist makes some of them anew, and reports whether there may be more.
	Relist(ctx context.Context) (more bool, err error)
}

// Relister makes listings anew whose shop has changed.
type Relister struct {
	listings Listings
	logger   *zap.Logger
	wake     chan struct{}
}

// NewRelister returns a relister that is to be run with [Relister.Run].
func NewRelister(listings Listings, logger *zap.Logger) *Relister {
	return &Relister{listings: listings, logger: logger, wake: make(chan struct{}, 1)}
}

// Wake has it look at once.
func (r *Relister) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run works until ctx ends. What fails is logged, and done the next time.
func (r *Relister) Run(ctx context.Context) error {
	tick := time.NewTicker(relistEvery)
	defer tick.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = r.listings.Relist(ctx); err != nil && ctx.Err() == nil {
				r.logger.Warn("listings of a changed shop not made anew", zap.Error(err))
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
