package chore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/chore"
	"souk/pkg/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs a chore in a synctest bubble until it has made a pass for each outcome: a number of things, or an error. It
// returns the times of the passes since the first, and the log.
func run(t *testing.T, c chore.Chore, outcomes ...any) (at []time.Duration, logs *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	c.Name, c.Logger = "tidy up", zap.New(core)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		c.Pass = func(context.Context, time.Time) (n int, err error) {
			at = append(at, time.Since(start))
			if len(at) == len(outcomes) {
				cancel()
			}
			switch o := outcomes[len(at)-1].(type) {
			case int:
				n = o
			case error:
				err = o
			}
			return n, err
		}
		require.NoError(t, c.Run(ctx))
	})
	return at, logs
}

func TestNextPassFollowsAFullOneAtOnce(t *testing.T) {
	t.Parallel()
	at, _ := run(t, chore.Chore{Every: time.Hour, Batch: 10}, 10, 11, 9, 0, 10, 10)
	require.Equal(t, []time.Duration{0, 0, 0, time.Hour, 2 * time.Hour, 2 * time.Hour}, at)
}

func TestPassWithoutBatchIsNeverFull(t *testing.T) {
	t.Parallel()
	at, _ := run(t, chore.Chore{Every: time.Hour}, 1_000_000, 1)
	require.Equal(t, []time.Duration{0, time.Hour}, at)
}

func TestOneWarningPerOutageAndOneLineAtItsEnd(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	at, logs := run(t, chore.Chore{Every: time.Hour, Batch: 10}, away, away, 10, 0, away, 0)
	require.Equal(t, []time.Duration{
		0, time.Hour, 2 * time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour,
	}, at)
	var lines []string
	for _, line := range logs.All() {
		require.Equal(t, "tidy up", line.ContextMap()["chore"])
		lines = append(lines, line.Message)
	}
	failed, works := "a chore failed; it will be retried", "a chore works again"
	require.Equal(t, []string{failed, works, failed}, lines)
}

func TestInterruptedPassIsNoFailure(t *testing.T) {
	t.Parallel()
	_, logs := run(t, chore.Chore{Every: time.Hour}, context.Canceled)
	require.Zero(t, logs.Len())
}

func TestChoreWithoutIntervalNeverRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			never := func(context.Context, time.Time) (int, error) { panic("it is done") }
			done <- chore.Chore{Name: "never", Pass: never, Logger: zap.NewNop()}.Run(ctx)
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			require.NoError(t, err)
		default:
			t.Fatal("the chore goes on after its context has ended")
		}
	})
}

func ExampleChore_Run() {
	ctx, cancel := context.WithCancel(context.Background())
	old := 250
	_ = chore.Chore{
		Name: "delete old carts", Every: time.Hour, Batch: 100,
		Pass: func(_ context.Context, now time.Time) (int, error) {
			n := min(old, 100)
			old -= n
			fmt.Println(n, "from before", now.AddDate(0, 0, -30).Format(time.DateOnly))
			if old == 0 {
				cancel() // the next pass would follow in an hour
			}
			return n, nil
		},
		Clock: clock.NewManual(time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)), Logger: zap.NewNop(),
	}.Run(ctx)
	// Output:
	// 100 from before 2026-03-01
	// 100 from before 2026-03-01
	// 50 from before 2026-03-01
}
