package outbox

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is a delay that doubles with each failure, up to backoffMax, with jitter.
type backoff struct{ failures int }

func (b *backoff) reset() { b.failures = 0 }

// sleep waits for the delay, or until early receives. It returns false when ctx has ended.
func (b *backoff) sleep(ctx context.Context, early <-chan struct{}) bool {
	d := min(backoffBase<<min(b.failures, 10), backoffMax)
	b.failures++
	t := time.NewTimer(d/2 + rand.N(d/2)) //nolint:gosec // not a secret
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
	case <-t.C:
	}
	return true
}

// sleep waits for d. It returns false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
