package postgres_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/cohort"
	"souk/pkg/errs"
	"souk/pkg/postgres"
)

// gate is a run that tells what it got and waits to be let on.
type gate struct {
	entered chan []int
	leave   chan struct{}
}

func newGate() gate { return gate{entered: make(chan []int), leave: make(chan struct{})} }

func (g gate) run(_ context.Context, items []int) ([]postgres.Result[int], error) {
	g.entered <- items
	<-g.leave
	return doubled(items), nil
}

func double(_ context.Context, items []int) ([]postgres.Result[int], error) {
	return doubled(items), nil
}

func doubled(items []int) []postgres.Result[int] {
	results := make([]postgres.Result[int], len(items))
	for i, n := range items {
		results[i].Value = 2 * n
	}
	return results
}

// waitUntil yields until the group's waiting callers, which no signal tells of, are there.
func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		require.True(t, time.Now().Before(deadline), "waited too long")
	}
}

func TestGroupTakesAllThatWaitUpToItsLimit(t *testing.T) {
	t.Parallel()
	gate := newGate()
	g := postgres.NewGroup(3, gate.run)
	var callers sync.WaitGroup
	do := func(n int) {
		callers.Go(func() {
			r, err := g.Do(t.Context(), n)
			require.NoError(t, err)
			require.Equal(t, 2*n, r)
		})
	}
	do(1)
	require.Equal(t, []int{1}, <-gate.entered)
	for n := range 5 {
		do(n + 2)
	}
	waitUntil(t, func() bool { return postgres.Waiting(g) == 5 })
	gate.leave <- struct{}{}
	require.Len(t, <-gate.entered, 3)
	gate.leave <- struct{}{}
	require.Len(t, <-gate.entered, 2)
	gate.leave <- struct{}{}
	callers.Wait()
	g.Close()
}

func TestGroupRunsInParallelUpToItsBound(t *testing.T) {
	t.Parallel()
	gate := newGate()
	g := postgres.NewGroup(1, gate.run, postgres.WithParallel(2))
	var callers sync.WaitGroup
	for n := range 3 {
		callers.Go(func() {
			_, err := g.Do(t.Context(), n)
			require.NoError(t, err)
		})
	}
	<-gate.entered
	<-gate.entered
	waitUntil(t, func() bool { return postgres.Waiting(g) == 1 })
	select {
	case <-gate.entered:
		t.Fatal("a third run")
	default:
	}
	gate.leave <- struct{}{}
	<-gate.entered
	gate.leave <- struct{}{}
	gate.leave <- struct{}{}
	callers.Wait()
	g.Close()
}

func TestGroupCallerWhoGivesUpCancelsNobody(t *testing.T) {
	t.Parallel()
	gate := newGate()
	g := postgres.NewGroup(10, func(ctx context.Context, items []int) ([]postgres.Result[int], error) {
		results, err := gate.run(ctx, items)
		return results, errors.Join(err, ctx.Err())
	})
	first, leaveFirst := context.WithCancel(t.Context())
	second, leaveSecond := context.WithCancel(t.Context())
	outcome := make(chan error)
	go func() { _, err := g.Do(first, 1); outcome <- err }()
	require.Equal(t, []int{1}, <-gate.entered)
	leaveFirst() // in its run
	require.Equal(t, errs.Timeout, errs.CodeOf(<-outcome))

	go func() { _, err := g.Do(second, 2); outcome <- err }()
	waitUntil(t, func() bool { return postgres.Waiting(g) == 1 })
	leaveSecond() // before a run took it
	require.Equal(t, errs.Timeout, errs.CodeOf(<-outcome))

	go func() { _, err := g.Do(t.Context(), 3); outcome <- err }()
	waitUntil(t, func() bool { return postgres.Waiting(g) == 2 })
	gate.leave <- struct{}{}
	require.Equal(t, []int{3}, <-gate.entered, "who left before the run is not in it")
	gate.leave <- struct{}{}
	require.NoError(t, <-outcome)
	g.Close()
}

func TestGroupReportsEachItemsOwnResult(t *testing.T) {
	t.Parallel()
	refused := errs.New(errs.OutOfStock, "sold out")
	tests := map[string]struct {
		run  func() ([]postgres.Result[int], error)
		want errs.Code
	}{
		"its own error":    {func() ([]postgres.Result[int], error) { return []postgres.Result[int]{{Err: refused}}, nil }, errs.OutOfStock},
		"the run's error":  {func() ([]postgres.Result[int], error) { return nil, refused }, errs.OutOfStock},
		"too few results":  {func() ([]postgres.Result[int], error) { return nil, nil }, errs.Internal},
		"a panic":          {func() ([]postgres.Result[int], error) { panic("boom") }, errs.Internal},
		"a goroutine ends": {func() ([]postgres.Result[int], error) { runtime.Goexit(); return nil, nil }, errs.Internal},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			broken.Store(true)
			g := postgres.NewGroup(10, func(_ context.Context, items []int) ([]postgres.Result[int], error) {
				if broken.Load() {
					return tc.run()
				}
				return doubled(items), nil
			})
			t.Cleanup(g.Close)
			_, err := g.Do(t.Context(), 1)
			require.Equal(t, tc.want, errs.CodeOf(err))
			broken.Store(false)
			r, err := g.Do(t.Context(), 2)
			require.NoError(t, err, "the group goes on")
			require.Equal(t, 4, r)
		})
	}
}

func TestGroupCloseWaitsAndRefuses(t *testing.T) {
	t.Parallel()
	gate := newGate()
	g := postgres.NewGroup(1, gate.run)
	outcomes := make(chan error, 2)
	for n := range 2 {
		go func() { _, err := g.Do(t.Context(), n); outcomes <- err }()
	}
	<-gate.entered
	waitUntil(t, func() bool { return postgres.Waiting(g) == 1 })
	closed := make(chan struct{})
	go func() { g.Close(); close(closed) }()
	waitUntil(t, func() bool { return postgres.Closed(g) })
	_, err := g.Do(t.Context(), 9)
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	select {
	case <-closed:
		t.Fatal("Close did not wait")
	default:
	}
	gate.leave <- struct{}{}
	<-gate.entered
	gate.leave <- struct{}{}
	<-closed
	require.NoError(t, <-outcomes)
	require.NoError(t, <-outcomes)
	g.Close() // twice is fine
}

func TestGroupNeverOversells(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)
	_, err := pool.Exec(ctx, `update stock set n = 200 where sku = 'a'`)
	require.NoError(t, err)
	var runs atomic.Int64
	g := postgres.NewGroup(64, func(ctx context.Context, items []int64) ([]postgres.Result[bool], error) {
		runs.Add(1)
		results := make([]postgres.Result[bool], len(items))
		return results, postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			var left int64
			if err := tx.QueryRow(ctx, `select n from stock where sku = 'a' for update`).Scan(&left); err != nil {
				return err
			}
			for i, n := range items {
				if n <= left {
					left -= n
					results[i] = postgres.Result[bool]{Value: true}
				} else {
					results[i] = postgres.Result[bool]{Err: errs.New(errs.OutOfStock, "sold out")}
				}
			}
			_, err := tx.Exec(ctx, `update stock set n = $1 where sku = 'a'`, left)
			return err
		})
	})
	var sold, refused atomic.Int64
	var callers sync.WaitGroup
	for range 300 {
		callers.Go(func() {
			switch _, err := g.Do(ctx, 1); errs.CodeOf(err) {
			case "":
				sold.Add(1)
			case errs.OutOfStock:
				refused.Add(1)
			}
		})
	}
	callers.Wait()
	g.Close()
	require.EqualValues(t, 200, sold.Load())
	require.EqualValues(t, 100, refused.Load())
	require.Zero(t, stock(ctx, t, pool, "a"))
	require.Less(t, runs.Load(), int64(300), "callers shared runs")
}

func TestGroupLingersOnlySoonAfterARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in its own time
		const linger = 10 * time.Millisecond
		var runs [][]int
		g := postgres.NewGroup(8, func(_ context.Context, items []int) ([]postgres.Result[int], error) {
			runs = append(runs, items)
			return doubled(items), nil
		}, postgres.WithLinger(linger))
		took := func(n int) time.Duration {
			began := time.Now()
			r, err := g.Do(t.Context(), n)
			require.NoError(t, err)
			require.Equal(t, 2*n, r)
			return time.Since(began)
		}
		require.Zero(t, took(1), "alone")

		var callers sync.WaitGroup
		callers.Go(func() { require.Equal(t, linger, took(2), "soon after") })
		callers.Go(func() {
			<-time.After(linger / 2)
			require.Equal(t, linger/2, took(3), "while the other waits")
		})
		callers.Wait()

		<-time.After(10 * linger)
		require.Zero(t, took(4), "alone again")
		g.Close()
		require.Equal(t, [][]int{{1}, {2, 3}, {4}}, runs)
	})
}

func TestALingerEndsWhenMostOfTheCompanyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const linger = 10 * time.Millisecond
		var runs [][]int
		var company atomic.Int64 // its worker asks, too, when nobody waits
		company.Store(1)
		g := postgres.NewGroup(8, func(_ context.Context, items []int) ([]postgres.Result[int], error) {
			runs = append(runs, items)
			return doubled(items), nil
		}, postgres.WithLinger(linger), postgres.WithCompany(func() int { return int(company.Load()) }))
		took := func(n int) time.Duration {
			began := time.Now()
			_, err := g.Do(t.Context(), n)
			require.NoError(t, err)
			return time.Since(began)
		}
		require.Zero(t, took(1))
		require.Zero(t, took(2), "alone, soon after")

		company.Store(4)
		var callers sync.WaitGroup
		callers.Go(func() { require.Equal(t, 2*time.Millisecond, took(3), "until three wait") })
		for n := range 2 {
			callers.Go(func() {
				<-time.After(time.Duration(n+1) * time.Millisecond)
				took(4 + n)
			})
		}
		callers.Wait()
		callers.Go(func() { require.Equal(t, linger, took(6), "the others do not come") })
		callers.Wait()

		company.Store(100)
		for n := range 8 {
			callers.Go(func() { require.Zero(t, took(10+n), "the group is full") })
		}
		callers.Wait()
		g.Close()
		require.Len(t, runs, 5)
		require.Len(t, runs[2], 3)
		require.Len(t, runs[4], 8)
	})
}

// members returns the contexts of a new cohort of n.
func members(ctx context.Context, n int) []context.Context {
	all := make([]context.Context, n)
	for i, m := range cohort.Of(n) {
		all[i] = cohort.With(ctx, m)
	}
	return all
}

func TestACohortGoesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var runs [][]int
		g := postgres.NewGroup(8, func(_ context.Context, items []int) ([]postgres.Result[int], error) {
			mu.Lock()
			defer mu.Unlock()
			runs = append(runs, slices.Sorted(slices.Values(items)))
			return doubled(items), nil
		}, postgres.WithParallel(2))
		var callers sync.WaitGroup
		at := func(ctx context.Context, n int, after, want time.Duration) {
			callers.Go(func() {
				<-time.After(after)
				began := time.Now()
				r, err := g.Do(ctx, n)
				require.NoError(t, err)
				require.Equal(t, 2*n, r)
				require.Equal(t, want, time.Since(began), "caller %d", n)
			})
		}
		const ms = time.Millisecond
		all := members(t.Context(), 3)
		at(all[0], 1, 0, 3*ms)
		at(all[1], 2, 2*ms-1, ms+1)
		at(all[2], 3, 3*ms, 0)
		at(t.Context(), 4, ms, 0) // who is alone waits for nobody
		callers.Wait()
		require.Equal(t, [][]int{{4}, {1, 2, 3}}, runs)

		runs = nil
		hint := cohort.Hint{ID: 7, Size: 3} // in a call from another process
		at(cohort.WithHint(t.Context(), hint), 5, 0, 3*ms)
		at(cohort.WithHint(t.Context(), hint), 6, ms, 2*ms)
		at(cohort.WithHint(t.Context(), hint), 7, 4*ms, 0)
		callers.Wait()
		require.Equal(t, [][]int{{5, 6}, {7}}, runs, "nobody waits long for one that does not come, nor that one for who has gone")

		runs = nil
		left := members(t.Context(), 3)
		at(left[0], 8, 0, ms)
		callers.Go(func() { <-time.After(ms / 2); cohort.In(left[2]).Leave() })
		at(left[1], 9, ms, 0)
		callers.Wait()
		require.Equal(t, [][]int{{8, 9}}, runs, "two of it are left")

		runs = nil
		many := members(t.Context(), 50)
		for n := range 8 {
			at(many[n], n, 0, 0)
		}
		callers.Wait()
		require.Equal(t, [][]int{{0, 1, 2, 3, 4, 5, 6, 7}}, runs, "a run takes no more")

		<-time.After(10 * ms)
		for i, ctx := range members(t.Context(), 2) {
			at(ctx, i, 0, 0)
		}
		callers.Wait()
		g.Close()
		require.Zero(t, postgres.Cohorts(g), "forgotten")
	})
}

func TestACohortDoesNotWaitForARunThatTakesLong(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]time.Duration{"before it": 0, "while it waits": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stuck := make(chan struct{})
				g := postgres.NewGroup(8, func(_ context.Context, items []int) ([]postgres.Result[int], error) {
					if slices.Contains(items, 1) {
						<-stuck
					}
					return doubled(items), nil
				}, postgres.WithParallel(2))
				var callers sync.WaitGroup
				callers.Go(func() {
					<-time.After(first)
					_, err := g.Do(t.Context(), 1)
					require.NoError(t, err)
				})
				waits := members(t.Context(), 3)
				var rest sync.WaitGroup
				for n := range 2 {
					rest.Go(func() {
						<-time.After(time.Microsecond)
						began := time.Now()
						_, err := g.Do(waits[n], 2+n)
						require.NoError(t, err)
						require.Equal(t, 2*time.Millisecond, time.Since(began))
					})
				}
				rest.Wait()
				close(stuck)
				callers.Wait()
				g.Close()
			})
		})
	}
}

func TestWhatAFullRunLeavesIsTakenByAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		g := postgres.NewGroup(4, func(_ context.Context, items []int) ([]postgres.Result[int], error) {
			<-time.After(50 * ms)
			return doubled(items), nil
		}, postgres.WithParallel(2))
		var callers sync.WaitGroup
		began := time.Now()
		for n := range 6 { // three each of two cohorts of four
			of := cohort.Hint{ID: uint64(n % 2), Size: 4} //nolint:gosec // 0 and 1
			callers.Go(func() {
				_, err := g.Do(cohort.WithHint(t.Context(), of), n)
				require.NoError(t, err)
			})
		}
		callers.Wait()
		require.Equal(t, 52*ms, time.Since(began), "both runs went at once")
		g.Close()
	})
}

func TestALingerComesBeforeTheWaitForACohort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		g := postgres.NewGroup(8, double, postgres.WithLinger(5*ms))
		_, err := g.Do(t.Context(), 0)
		require.NoError(t, err)
		began := time.Now()
		var callers sync.WaitGroup
		for n, ctx := range members(t.Context(), 3) {
			callers.Go(func() {
				<-time.After([]time.Duration{0, 9 * ms / 2, 6 * ms}[n])
				_, err := g.Do(ctx, n)
				require.NoError(t, err)
			})
		}
		callers.Wait()
		require.Equal(t, 6*ms, time.Since(began), "and not again after it")
		g.Close()
	})
}

func TestACohortWhoseCallersLeaveIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := postgres.NewGroup(8, double)
		for range 3 {
			ctx, cancel := context.WithTimeout(members(t.Context(), 3)[0], time.Millisecond)
			_, err := g.Do(ctx, 1)
			cancel()
			require.True(t, errs.Is(err, errs.Timeout))
			<-time.After(10 * time.Millisecond)
		}
		g.Close()
		require.Equal(t, 1, postgres.Cohorts(g), "the last: the next cohort makes it forgotten")
	})
}
