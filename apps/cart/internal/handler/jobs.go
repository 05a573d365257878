package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
)

const (
	// forgetEvery is the poll interval for expired carts.
	forgetEvery = time.Hour
	// lastWriteBack bounds the write-back at a shutdown.
	lastWriteBack = 5 * time.Second
)

// Backup writes carts to PostgreSQL.
type Backup interface {
	// WriteBack writes a batch of carts that are due, or of all dirty carts if all is set. It returns how many it
	// took.
	WriteBack(ctx context.Context, all bool) (int, error)
}

// WriteBack returns a loop that polls for carts that are due and writes them back. When ctx ends, it writes back
// all dirty carts and returns.
func WriteBack(b Backup, interval time.Duration, log *zap.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		err := chore.Chore{
			Name: "write carts back", Every: interval, Batch: 1, Logger: log,
			Pass: func(ctx context.Context, _ time.Time) (int, error) { return b.WriteBack(ctx, false) },
		}.Run(ctx)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWriteBack)
		defer cancel()
		for n := 1; n > 0; {
			var failure error
			if n, failure = b.WriteBack(ctx, true); failure != nil {
				log.Warn("carts not written back at the end; another process does it", zap.Error(failure))
				break
			}
		}
		return err
	}
}

// Forget returns a chore that deletes expired carts. forget deletes a batch of them and returns their number.
func Forget(forget func(context.Context) (int64, error), log *zap.Logger) func(context.Context) error {
	return chore.Chore{
		Name: "delete old carts", Every: forgetEvery, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			n, err := forget(ctx)
			return int(n), err
		},
	}.Run
}
