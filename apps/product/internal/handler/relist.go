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
	// LetUnverifiedSell applies the setting unverified_shops_sell to the shops that are stored.
	LetUnverifiedSell(ctx context.Context, sell bool) error
	// Relist refreshes some of them and reports whether there may be more.
	Relist(ctx context.Context) (more bool, err error)
}

// Relist returns a chore that refreshes the listings of changed shops, when woken and every few seconds. It also
// applies the setting unverified_shops_sell, sell, to shops that were stored with another value. While the setting is
// not known, what was applied last stays.
func Relist(
	listings Listings, sell func() (sell, known bool), wake chore.Wake, log *zap.Logger,
) func(context.Context) error {
	return chore.Chore{
		Name: "refresh listings of changed shops", Every: relistInterval, Batch: 1, Wake: wake, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			if now, known := sell(); known {
				if err := listings.LetUnverifiedSell(ctx, now); err != nil {
					return 0, err
				}
			}
			more, err := listings.Relist(ctx)
			if !more {
				return 0, err
			}
			return 1, err
		},
	}.Run
}
