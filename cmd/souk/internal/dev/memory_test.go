package dev

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadWatchDetectsLoadAtOnceAndRestLater(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	ticks := []struct {
		rate float64
		want loadChange
	}{
		{0, unchanged},
		{47 * mb, unchanged}, // some requests
		{48 * mb, becameBusy},
		{300 * mb, unchanged},
		{23 * mb, unchanged}, // a pause
		{24 * mb, unchanged}, // the load continues
		{10 * mb, unchanged},
		{10 * mb, cameToRest},
		{10 * mb, unchanged},
		{40 * mb, unchanged},
		{60 * mb, becameBusy},
		{10 * mb, unchanged},
		{0, cameToRest},
	}
	var w loadWatch
	for i, tick := range ticks {
		require.Equal(t, tick.want, w.next(tick.rate), "tick %d, %.0f MB/s", i, tick.rate/mb)
	}
	var released []int
	for resting := restAfter + 1; resting <= 2*releaseUntil; resting++ {
		if w.next(0) == stillAtRest {
			released = append(released, resting)
		}
	}
	require.Equal(t, []int{4, 8, 12, 16, 20, 24}, released, "no release after the last")
}

// Go tries to keep a limit at any cost. As long as the live bytes exceed it, the collector runs all the time and takes
// half of the CPU. The test is not parallel because the limit is the process's.
func TestLimitLeavesRoomWhenLiveBytesExceedTheGoal(t *testing.T) {
	const mb = 1 << 20
	percent, before := debug.SetGCPercent(garbagePercent), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(before)
	}()
	live := make([][]byte, 64<<10)
	for i := range live {
		live[i] = make([]byte, 1<<10)
	}
	use := newMemoryUse()
	debug.FreeOSMemory()
	use.read()
	require.GreaterOrEqual(t, use.value(useLive), int64(64*mb))
	limit := use.limit(32 * mb)
	require.EqualValues(t, 512*mb, use.limit(512*mb), "a goal with enough room is the limit")
	debug.SetMemoryLimit(limit)

	runtime.GC()
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	use.read()
	require.Greater(t, int64(goal[0].Value.Uint64()), use.value(useLive)+use.value(useLive)/6,
		"the heap grows by at least a sixth before the next collection")
	runtime.KeepAlive(live)
}

// Between two collections new objects fill holes, so that the overhead appears smaller than it is.
func TestLimitUsesTheLargestOverheadOfTheLastTicks(t *testing.T) {
	t.Parallel()
	const large = 1 << 40
	use := newMemoryUse()
	use.read()
	use.overhead[0] = large
	for range overheadTicks - 1 {
		use.read()
		require.Greater(t, use.limit(restingGoal), int64(large))
	}
	use.read()
	require.Less(t, use.limit(restingGoal), int64(large), "after %d ticks", overheadTicks)
}
