package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadWatch(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	looks := []struct {
		rate float64
		want loadChange
	}{
		{0, unchanged},
		{47 * mb, unchanged}, // some requests
		{48 * mb, becameBusy},
		{300 * mb, unchanged},
		{23 * mb, unchanged}, // a pause
		{24 * mb, unchanged}, // and on
		{10 * mb, unchanged},
		{10 * mb, cameToRest},
		{10 * mb, unchanged},
		{40 * mb, unchanged},
		{60 * mb, becameBusy},
		{10 * mb, unchanged},
		{0, cameToRest},
	}
	var w loadWatch
	for i, l := range looks {
		require.Equal(t, l.want, w.next(l.rate), "look %d, %.0f MB/s", i, l.rate/mb)
	}
	var given []int
	for resting := restAfter + 1; resting <= 2*stillAfter; resting++ {
		if w.next(0) == stillAtRest {
			given = append(given, resting)
		}
	}
	require.Equal(t, []int{4, 8, 12, 16, 20, 24}, given, "and then no more")
}

// Go keeps a limit at any price: as long as what lives exceeds it, all is collected again and again, for half of the
// processors' time. Not parallel: limits are the process's.
func TestMoreLivesThanTheGoalAllows(t *testing.T) {
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
	require.EqualValues(t, 512*mb, use.limit(512*mb), "where there is room the goal holds")
	debug.SetMemoryLimit(limit)

	runtime.GC()
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	use.read()
	require.Greater(t, int64(goal[0].Value.Uint64()), use.value(useLive)+use.value(useLive)/6, "the next collection is after a sixth more at least")
	runtime.KeepAlive(live)
}

// Between two collections new objects fill holes, and what counts beside them looks smaller than it is.
func TestHolesCountAtTheirLargest(t *testing.T) {
	t.Parallel()
	const large = 1 << 40
	use := newMemoryUse()
	use.read()
	use.around[0] = large
	for range looks - 1 {
		use.read()
		require.Greater(t, use.limit(restingGoal), int64(large))
	}
	use.read()
	require.Less(t, use.limit(restingGoal), int64(large), "after %d looks", looks)
}
