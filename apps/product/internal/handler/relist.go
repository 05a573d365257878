package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
)

// relistInterval is the poll interval for changed shops whose process died before it woke the chore.
const relistInterval = 5 * time.Second

// Listings refreshes the listings of changed shops.
type Listings interface {
	// ApplySetting applies the setting unverified_shops_sell to the shops that are stored.
	ApplySetting(ctx context.Context) error
	// Relist refreshes some of them and reports whether there may be more.
	Relist(ctx context.Context) (more bool, err error)
}

// Relist returns a chore that refreshes the listings of changed shops, when woken and every few seconds. Its first tick
// applies the setting unverified_shops_sell.
func Relist(listings Listings, wake chore.Wake, log *zap.Logger) func(context.Context) error {
	applied := false
	return chore.Chore{
		Name: "refresh listings of changed shops", Every: relistInterval, Batch: 1, Wake: wake, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			if !applied {
				if err := listings.ApplySetting(ctx); err != nil {
					return 0, err
				}
				applied = true
			}
			more, err := listings.Relist(ctx)
			if !more {
				return 0, err
			}
			return 1, err
		},
	}.Run
}
