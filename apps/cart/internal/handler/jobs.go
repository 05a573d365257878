package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/chore"
)

const (
	// forgetEvery is the pause between two looks for carts that are too old.
	forgetEvery = time.Hour
	// lastWriteBack bounds the write-back at a shutdown.
	lastWriteBack = 5 * time.Second
)

// Backup is what WriteBack runs.
type Backup interface {
	// WriteBack writes a batch of carts that are due (all: also those that are not yet) and returns how many it took.
	WriteBack(ctx context.Context, all bool) (int, error)
}

// WriteBack writes carts back as they become due, until ctx ends; then all that are left.
func WriteBack(b Backup, pause time.Duration, log *zap.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(pause)
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

// Forget has carts deleted that are too old, until ctx ends. forget returns how many there were.
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

// drain writes until nothing is due, and says once when that begins or ends to fail.
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
