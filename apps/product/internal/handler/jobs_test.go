package handler

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"souk/pkg/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listings has so many listings to make anew, and says when it is asked.
type listings struct {
	asked chan struct{}
	left  chan bool
}

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
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

func within(t *testing.T, d time.Duration, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(d):
		require.Fail(t, "it does not come")
	}
}

func TestRelisterLooksAtOnceWhenItIsWoken(t *testing.T) {
	t.Parallel()
	l := &listings{asked: make(chan struct{}), left: make(chan bool, 10)}
	r := NewRelister(l, zap.NewNop())
	l.left <- true
	l.left <- true
	l.left <- false
	run(t, r.Run)
	for range 3 { // what was left over
		within(t, time.Minute, l.asked)
	}
	for range 2 { // the first time it fails, which ends nothing
		woken := time.Now()
		r.Wake()
		r.Wake()
		within(t, time.Minute, l.asked)
		require.Less(t, time.Since(woken), relistEvery)
	}
}

// forgetter notes what it is told to forget.
type forgetter struct {
	mu    sync.Mutex
	calls []time.Time
	left  int
	done  chan struct{}
}

func (f *forgetter) Sweep(context.Context, int) (int, error) { return 0, nil }
func (f *forgetter) LearnWords(context.Context) error        { return nil }

func (f *forgetter) Forget(_ context.Context, before time.Time, most int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, before)
	n := min(f.left, most)
	if f.left -= n; n < most {
		close(f.done)
	}
	return n, nil
}

func TestOldReservationsAreForgottenInBatches(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	f := &forgetter{left: 2*forgetBatch + 5, done: make(chan struct{})}
	stop := run(t, Every(f, Times{Sweep: time.Hour, Learn: time.Hour, Keep: 24 * time.Hour}, c, zap.NewNop()))
	within(t, time.Minute, f.done)
	stop()
	require.Zero(t, f.left)
	require.Len(t, f.calls, 3)
	require.Equal(t, c.Now().Add(-24*time.Hour), f.calls[0])
}

func TestReservationsAreKeptForEver(t *testing.T) {
	t.Parallel()
	f := &forgetter{left: 5, done: make(chan struct{})}
	learned := make(chan struct{})
	stop := run(t, Every(keeper{f, learned}, Times{Sweep: time.Hour, Learn: time.Millisecond}, clock.System{}, zap.NewNop()))
	for range 2 { // at the start, before it could forget, and after that
		within(t, time.Minute, learned)
	}
	stop()
	require.Empty(t, f.calls)
}

type keeper struct {
	*forgetter
	learned chan struct{}
}

func (k keeper) LearnWords(ctx context.Context) error {
	select {
	case k.learned <- struct{}{}:
	case <-ctx.Done():
	}
	return nil
}
