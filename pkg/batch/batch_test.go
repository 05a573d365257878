package batch_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a flush that reports its items and waits until it may return.
type gate struct {
	entered chan []int
	leave   chan struct{}
}

func newGate() gate { return gate{entered: make(chan []int), leave: make(chan struct{})} }

func (g gate) flush(_ context.Context, items []int) ([]batch.Result[int], error) {
	g.entered <- items
	select {
	case <-g.leave:
		return doubled(items), nil
	case <-time.After(waittest.Timeout):
		return nil, errors.New("the gate stayed closed")
	}
}

// open lets one flush return.
func (g gate) open(t *testing.T) {
	t.Helper()
	select {
	case g.leave <- struct{}{}:
	case <-time.After(waittest.Timeout):
		t.Fatal("no flush waits at the gate")
	}
}

func doubled(items []int) []batch.Result[int] {
	results := make([]batch.Result[int], len(items))
	for i, n := range items {
		results[i].Value = 2 * n
	}
	return results
}

// waiting returns when n items wait for the next flush.
func waiting(t *testing.T, b *batch.Batcher[int, int], n int) {
	t.Helper()
	waittest.Until(t, func() bool { return batch.Waiting(b) == n }, "%d items should wait", n)
}

func TestFlushTakesAllWaitingItemsUpToTheLimit(t *testing.T) {
	t.Parallel()
	gate := newGate()
	b := batch.New(3, gate.flush)
	var callers sync.WaitGroup
	submit := func(n int) {
		callers.Go(func() {
			r, err := b.Submit(t.Context(), n)
			require.NoError(t, err)
			require.Equal(t, 2*n, r)
		})
	}
	submit(1)
	require.Equal(t, []int{1}, waittest.Receive(t, gate.entered))
	for n := range 5 {
		submit(n + 2)
	}
	waiting(t, b, 5)
	gate.open(t)
	require.Len(t, waittest.Receive(t, gate.entered), 3)
	gate.open(t)
	require.Len(t, waittest.Receive(t, gate.entered), 2)
	gate.open(t)
	callers.Wait()
	b.Close()
}

func TestFlushesRunInParallelUpToTheBound(t *testing.T) {
	t.Parallel()
	gate := newGate()
	b := batch.New(1, gate.flush, batch.WithParallel(2))
	var callers sync.WaitGroup
	for n := range 3 {
		callers.Go(func() {
			_, err := b.Submit(t.Context(), n)
			require.NoError(t, err)
		})
	}
	waittest.Receive(t, gate.entered)
	waittest.Receive(t, gate.entered)
	waiting(t, b, 1)
	select {
	case <-gate.entered:
		t.Fatal("a third flush runs")
	default:
	}
	gate.open(t)
	waittest.Receive(t, gate.entered)
	gate.open(t)
	gate.open(t)
	callers.Wait()
	b.Close()
}

func TestRestOfAFullBatchDoesNotWaitForItsFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const takes = 50 * time.Millisecond
		b := batch.New(4, func(_ context.Context, items []int) ([]batch.Result[int], error) {
			<-time.After(takes)
			return doubled(items), nil
		}, batch.WithParallel(2))
		var callers sync.WaitGroup
		began := time.Now()
		for n := range 6 {
			callers.Go(func() {
				_, err := b.Submit(t.Context(), n)
				require.NoError(t, err)
			})
		}
		callers.Wait()
		require.Equal(t, takes, time.Since(began), "both flushes ran at the same time")
		b.Close()
	})
}

func TestCallerWhoseContextEndsAffectsNoOther(t *testing.T) {
	t.Parallel()
	gate := newGate()
	b := batch.New(10, func(ctx context.Context, items []int) ([]batch.Result[int], error) {
		results, err := gate.flush(ctx, items)
		return results, errors.Join(err, ctx.Err())
	})
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	outcome := make(chan error, 1)
	submit := func(ctx context.Context, n int) {
		go func() { _, err := b.Submit(ctx, n); outcome <- err }()
	}
	submit(first, 1)
	require.Equal(t, []int{1}, waittest.Receive(t, gate.entered))
	cancelFirst() // during its flush
	require.Equal(t, errs.Timeout, errs.CodeOf(waittest.Receive(t, outcome)))

	submit(second, 2)
	waiting(t, b, 1)
	cancelSecond() // before its flush
	require.Equal(t, errs.Timeout, errs.CodeOf(waittest.Receive(t, outcome)))

	submit(t.Context(), 3)
	waiting(t, b, 2)
	gate.open(t)
	require.Equal(t, []int{3}, waittest.Receive(t, gate.entered), "the withdrawn item is not flushed")
	gate.open(t)
	require.NoError(t, waittest.Receive(t, outcome))
	b.Close()

	_, err := b.Submit(second, 4)
	require.Equal(t, errs.Timeout, errs.CodeOf(err), "the context ended before Submit")
}

func TestSubmitReturnsTheItemsOwnResult(t *testing.T) {
	t.Parallel()
	refused := errs.New(errs.OutOfStock, "sold out")
	tests := map[string]struct {
		flush func() ([]batch.Result[int], error)
		want  errs.Code
	}{
		"error of the item": {
			func() ([]batch.Result[int], error) { return []batch.Result[int]{{Err: refused}}, nil },
			errs.OutOfStock,
		},
		"error of the flush": {func() ([]batch.Result[int], error) { return nil, refused }, errs.OutOfStock},
		"too few results":    {func() ([]batch.Result[int], error) { return nil, nil }, errs.Internal},
		"panic":              {func() ([]batch.Result[int], error) { panic("boom") }, errs.Internal},
		"goroutine exits": {
			func() ([]batch.Result[int], error) { runtime.Goexit(); return nil, nil },
			errs.Internal,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			broken.Store(true)
			b := batch.New(10, func(_ context.Context, items []int) ([]batch.Result[int], error) {
				if broken.Load() {
					return tc.flush()
				}
				return doubled(items), nil
			})
			t.Cleanup(b.Close)
			_, err := b.Submit(t.Context(), 1)
			require.Equal(t, tc.want, errs.CodeOf(err))
			broken.Store(false)
			r, err := b.Submit(t.Context(), 2)
			require.NoError(t, err, "the batcher still works")
			require.Equal(t, 4, r)
		})
	}
}

func TestFlushTimeoutEndsTheFlushsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(1, func(ctx context.Context, _ []int) ([]batch.Result[int], error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, batch.WithFlushTimeout(time.Second))
		began := time.Now()
		_, err := b.Submit(t.Context(), 1)
		require.Equal(t, errs.Timeout, errs.CodeOf(err))
		require.Equal(t, time.Second, time.Since(began))
		b.Close()
	})
}

func TestCloseWaitsForSubmittedItemsAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	gate := newGate()
	b := batch.New(1, gate.flush)
	outcomes := make(chan error, 2)
	for n := range 2 {
		go func() { _, err := b.Submit(t.Context(), n); outcomes <- err }()
	}
	waittest.Receive(t, gate.entered)
	waiting(t, b, 1)
	closed := make(chan struct{})
	go func() { b.Close(); close(closed) }()
	waittest.Until(t, func() bool { return batch.Closed(b) }, "Close has not begun")
	_, err := b.Submit(t.Context(), 9)
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	select {
	case <-closed:
		t.Fatal("Close did not wait")
	default:
	}
	gate.open(t)
	waittest.Receive(t, gate.entered)
	gate.open(t)
	waittest.Receive(t, closed)
	require.NoError(t, waittest.Receive(t, outcomes))
	require.NoError(t, waittest.Receive(t, outcomes))
	b.Close() // a second time
}

func TestFlushesRunOneAtATimeByDefault(t *testing.T) {
	t.Parallel()
	left, flushes := 200, 0 // without a lock: the race detector finds flushes that overlap
	b := batch.New(64, func(_ context.Context, items []int) ([]batch.Result[int], error) {
		flushes++
		results := make([]batch.Result[int], len(items))
		for i, n := range items {
			if n > left {
				results[i].Err = errs.New(errs.OutOfStock, "sold out")
				continue
			}
			left -= n
		}
		return results, nil
	})
	var sold, refused atomic.Int64
	var callers sync.WaitGroup
	for range 300 {
		callers.Go(func() {
			switch _, err := b.Submit(t.Context(), 1); errs.CodeOf(err) {
			case "":
				sold.Add(1)
			case errs.OutOfStock:
				refused.Add(1)
			}
		})
	}
	callers.Wait()
	b.Close()
	require.EqualValues(t, 200, sold.Load())
	require.EqualValues(t, 100, refused.Load())
	require.Zero(t, left)
	require.LessOrEqual(t, flushes, 300)
}

func TestWindowOpensOnlySoonAfterAFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const window = 10 * time.Millisecond
		var flushes [][]int
		b := batch.New(8, func(_ context.Context, items []int) ([]batch.Result[int], error) {
			flushes = append(flushes, items)
			return doubled(items), nil
		}, batch.WithWindow(window))
		took := func(n int) time.Duration {
			began := time.Now()
			r, err := b.Submit(t.Context(), n)
			require.NoError(t, err)
			require.Equal(t, 2*n, r)
			return time.Since(began)
		}
		require.Zero(t, took(1), "first")

		var callers sync.WaitGroup
		callers.Go(func() { require.Equal(t, window, took(2), "soon after") })
		callers.Go(func() {
			<-time.After(window / 2)
			require.Equal(t, window/2, took(3), "within the window")
		})
		callers.Wait()

		<-time.After(10 * window)
		require.Zero(t, took(4), "long after")
		b.Close()
		require.Equal(t, [][]int{{1}, {2, 3}, {4}}, flushes)
	})
}

func TestFullBatchEndsTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var flushes [][]int
		b := batch.New(4, func(_ context.Context, items []int) ([]batch.Result[int], error) {
			flushes = append(flushes, items)
			return doubled(items), nil
		}, batch.WithWindow(10*time.Millisecond))
		took := func(n int) time.Duration {
			began := time.Now()
			_, err := b.Submit(t.Context(), n)
			require.NoError(t, err)
			return time.Since(began)
		}
		require.Zero(t, took(1))
		var callers sync.WaitGroup
		for n := range 4 {
			callers.Go(func() { require.Zero(t, took(10+n)) })
		}
		callers.Wait()
		b.Close()
		require.Len(t, flushes, 2)
		require.Len(t, flushes[1], 4)
	})
}
