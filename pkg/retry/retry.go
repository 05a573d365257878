// Package retry repeats what failed for a moment: a bounded number of times, with full jitter.
//
// Only calls that may be made twice are repeated; who calls Do says so by calling it.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"souk/pkg/errs"
)

// Policy says how often and how fast. The zero Policy is one attempt.
type Policy struct {
	// Attempts is how many there are at most, the first included; 0 and 1: one.
	Attempts int
	// Base bounds the first pause, and doubles with each further one; 0: no pause.
	Base time.Duration
	// Max bounds every pause; 0: no bound.
	Max time.Duration
}

// Default is for calls between services: three attempts within a fraction of a second.
func Default() Policy {
	return Policy{Attempts: 3, Base: 20 * time.Millisecond, Max: 250 * time.Millisecond}
}

// Backoff returns the pause after n failed attempts (n = 1 for the first): evenly drawn between zero and Base*2^(n-1),
// at most Max.
func (p Policy) Backoff(n int) time.Duration {
	limit := p.Base
	for i := 1; i < n && limit < 1<<40; i++ { // 18 minutes: beyond that Max decides
		limit *= 2
	}
	if p.Max > 0 && limit > p.Max {
		limit = p.Max
	}
	if limit <= 0 {
		return 0
	}
	return rand.N(limit + 1) //nolint:gosec // jitter needs no secrecy
}

// Transient reports whether err says that nothing was done and that it may work in a moment.
func Transient(err error) bool {
	return errs.Is(err, errs.Unavailable) || errs.Is(err, errs.Overloaded)
}

// Do calls f until it succeeds, fails with an error that is not retryable, or the policy's attempts are
// used up, and returns the last error. An error's RetryAfter lengthens the pause, up to Max. Do
// does not begin a pause that would outlast the context: it returns the last error at once.
func Do(ctx context.Context, p Policy, retryable func(error) bool, f func(ctx context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := f(ctx)
		if err == nil || attempt >= p.Attempts || ctx.Err() != nil || !retryable(err) {
			return err
		}
		pause := p.Backoff(attempt)
		var coded *errs.Error
		if errors.As(err, &coded) && p.Max > 0 {
			pause = max(pause, min(coded.RetryAfter, p.Max))
		}
		if !wait(ctx, pause) {
			return err
		}
	}
}

// wait reports whether d passed before the context ended.
func wait(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
