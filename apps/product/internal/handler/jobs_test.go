package handler

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listings sends to asked when Relist is called, and returns what left holds.
type listings struct {
	asked chan struct{}
	left  chan bool
}

// LetUnverifiedSell has nothing to do.
func (l *listings) LetUnverifiedSell(context.Context, bool) error { return nil }

func (l *listings) Relist(ctx context.Context) (bool, error) {
	select {
	case l.asked <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case more := <-l.left:
		return more, nil
	default:
		return false, errors.New("not now")
	}
}

func run(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, receive(t, done))
	})
	t.Cleanup(stop)
	return stop
}

// receive returns the next value from c. The test fails if none arrives in a minute.
func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		require.FailNow(t, "no value arrived")
	}
	return v
}

func TestWokenRelisterTicksAtOnce(t *testing.T) {
	t.Parallel()
	l := &listings{asked: make(chan struct{}), left: make(chan bool, 10)}
	wake := chore.NewWake()
	relist := Relist(l, func() (sell, known bool) { return false, true }, wake, zap.NewNop())
	l.left <- true
	l.left <- true
	l.left <- false
	run(t, relist)
	for range 3 { // the work left at the start
		receive(t, l.asked)
	}
	for range 2 { // Relist fails now, which does not stop the relister
		woken := time.Now()
		wake.Now()
		wake.Now()
		receive(t, l.asked)
		require.Less(t, time.Since(woken), relistInterval)
	}
}

func TestOldReservationsAreDeletedInBatches(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	left, done := 2*forgetBatch+5, make(chan struct{})
	var befores []time.Time
	stop := run(t, Forget(func(_ context.Context, before time.Time, limit int) (int, error) {
		befores = append(befores, before)
		n := min(left, limit)
		if left -= n; n < limit {
			close(done)
		}
		return n, nil
	}, 24*time.Hour, c, zap.NewNop()))
	receive(t, done)
	stop()
	require.Zero(t, left)
	require.Len(t, befores, 3)
	require.Equal(t, c.Now().Add(-24*time.Hour), befores[0])
}

func TestZeroRetentionKeepsReservations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stop := run(t, Forget(func(context.Context, time.Time, int) (int, error) {
			t.Error("reservations are deleted")
			return 0, nil
		}, 0, clock.System{}, zap.NewNop()))
		synctest.Wait()
		stop()
	})
}
