package chore

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/clock"
)

const (
	forgetEvery = time.Hour
	// forgetBatch is the most rows that one statement deletes.
	forgetBatch = 1000
	// A pass covers the last forgetWindow before the retention's end. Every fullScan passes, one covers everything,
	// including what ended late.
	forgetWindow = 7 * 24 * time.Hour
	fullScan     = 24
)

// Forget returns a chore that deletes what began longer ago than keep; 0 deletes nothing. forget deletes at most most
// rows that began in [from, before), and returns their number. The first pass covers everything.
func Forget(
	name string, keep time.Duration,
	forget func(ctx context.Context, from, before time.Time, most int) (int, error), c clock.Clock, log *zap.Logger,
) Chore {
	var from time.Time
	scans := 0
	old := Chore{
		Name: name, Every: forgetEvery, Batch: forgetBatch, Clock: c, Logger: log,
		Pass: func(ctx context.Context, now time.Time) (int, error) {
			before := now.Add(-keep)
			n, err := forget(ctx, from, before, forgetBatch)
			if err == nil && n < forgetBatch { // the scan is complete
				if from, scans = before.Add(-forgetWindow), scans+1; scans%fullScan == 0 {
					from = time.Time{}
				}
			}
			return n, err
		},
	}
	if keep <= 0 {
		old.Every = 0
	}
	return old
}
