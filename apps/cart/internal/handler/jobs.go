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
		tick := time.NewTicker(interval)
		defer tick.Stop()
		w := writer{b: b, log: log}
		for {
			select {
			case <-ctx.Done():
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWriteBack)
				defer cancel()
				w.drain(ctx, true)
				return nil
			case <-tick.C:
				w.drain(ctx, false)
			}
		}
	}
}

// Forget returns a chore that deletes expired carts. forget deletes a batch of them and returns their number.
func Forget(forget func(context.Context) (int64, error), log *zap.Logger) func(context.Context) error {
	return chore.Chore{
		Name: "delete old carts", Every: forgetEvery, Logger: log,
		Do: func(ctx context.Context, _ time.Time) (int, error) {
			n, err := forget(ctx)
			return int(n), err
		},
	}.Run
}

type writer struct {
	b      Backup
	log    *zap.Logger
	failed bool
}

// drain writes carts back until none is due. It logs when write-backs start to fail, and when they work again.
func (w *writer) drain(ctx context.Context, all bool) {
	for ctx.Err() == nil {
		n, err := w.b.WriteBack(ctx, all)
		switch {
		case err != nil && (ctx.Err() == nil || all):
			if !w.failed {
				w.log.Warn("carts not written back; they are tried again", zap.Error(err))
			}
			w.failed = true
			return
		case err == nil && w.failed:
			w.failed = false
			w.log.Info("carts are written back again")
		}
		if n == 0 {
			return
		}
	}
}
