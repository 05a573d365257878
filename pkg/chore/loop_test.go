package chore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/chore"
)

func TestLoopTicksAtThePollsThatTicksAskForAndWhenWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type tick struct {
			at    time.Duration
			woken bool
		}
		var ticks []tick
		start, wake, enough := time.Now(), chore.NewWake(), errors.New("enough")
		err := chore.Loop(t.Context(), wake, func(_ context.Context, woken bool) (time.Duration, error) {
			ticks = append(ticks, tick{time.Since(start), woken})
			switch len(ticks) {
			case 2: // two wakes start one tick
				wake.Now()
				wake.Now()
				return time.Hour, nil
			case 3: // the poll stays at two hours
				return chore.Keep, nil
			case 5:
				return 0, enough
			default:
				return time.Hour, nil
			}
		})
		require.ErrorIs(t, err, enough)
		require.Equal(t, []tick{
			{0, false}, {time.Hour, false}, {time.Hour, true}, {2 * time.Hour, false}, {3 * time.Hour, false},
		}, ticks)
	})
}

func TestLoopEndsWithItsContextWhateverItsTickReturns(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, chore.Loop(ctx, nil, func(context.Context, bool) (time.Duration, error) {
		cancel()
		return 0, errors.New("interrupted")
	}))
}
