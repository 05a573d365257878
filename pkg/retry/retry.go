// Package retry repeats operations that failed transiently. The number of attempts is bounded, and the backoff has
// full jitter.
//
// An operation passed to Do must be safe to repeat.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"souk/pkg/errs"
)

// Policy configures the number of attempts and the backoff. The zero Policy means one attempt.
type Policy struct {
	// Attempts is the maximum number of attempts, including the first. 0 means 1.
	Attempts int
	// Base is the upper bound of the first backoff; it doubles with each attempt. 0 means no backoff.
	Base time.Duration
	// Max bounds every backoff. 0 means no bound.
	Max time.Duration
}

// Default returns the policy for calls between services: three attempts within a fraction of a second.
func Default() Policy {
	return Policy{Attempts: 3, Base: 20 * time.Millisecond, Max: 250 * time.Millisecond}
}

// Backoff returns the delay after n failed attempts, n >= 1. It is uniformly distributed between zero and
// min(Base*2^(n-1), Max).
func (p Policy) Backoff(n int) time.Duration {
	limit := p.Base
	for i := 1; i < n && limit < 1<<40; i++ { // 18 minutes, to avoid overflow
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

// Transient reports whether err is errs.Unavailable or errs.Overloaded, so that a retry may succeed.
func Transient(err error) bool {
	return errs.Is(err, errs.Unavailable) || errs.Is(err, errs.Overloaded)
}

// Do calls f until it succeeds, fails with an error that is not retryable, or has used up the policy's attempts. It
// returns the last error. An error's RetryAfter lengthens the backoff, up to Max. If the backoff would outlast the
// context, Do returns the last error at once.
func Do(ctx context.Context, p Policy, retryable func(error) bool, f func(ctx context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := f(ctx)
		if err == nil || attempt >= p.Attempts || ctx.Err() != nil || !retryable(err) {
			return err
		}
		backoff := p.Backoff(attempt)
		var coded *errs.Error
		if errors.As(err, &coded) && p.Max > 0 {
			backoff = max(backoff, min(coded.RetryAfter, p.Max))
		}
		if !wait(ctx, backoff) {
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
