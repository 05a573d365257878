package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// All of souk in one process lets its heap grow to three times of what lives, as long as the whole stays below a
// goal. Some 50 MB of the program's file come on top.
//
// At rest the goal keeps it below the 150 MB that souk promises. Under load that goal would cost more than a third of the
// processor, for collecting garbage from the 15 MB that lie between it and what lives; so while much is
// allocated another one holds, and what was taken is given back to the system within two seconds of the load's end.
// A goal that what lives exceeds costs processor time, and never fails.
const (
	garbagePercent = 200
	restingGoal    = 88 << 20
	busyGoal       = 148 << 20

	// busyFrom and restBelow are bytes allocated in a second; a checkout allocates half a megabyte.
	busyFrom  = 48 << 20
	restBelow = 24 << 20
	// restAfter is how many looks in a row must find rest. After stillAfter looks, what JetStream has let go since is given
	// back, too: it keeps blocks of 8 MB in memory until nobody has asked for them for 10 s.
	restAfter  = 2
	stillAfter = 24
	lookEvery  = 500 * time.Millisecond

	allocatedMetric = "/gc/heap/allocs:bytes"
)

// tuneMemory sets how much memory this process may take, as long as ctx lasts, unless the user's environment says so.
func tuneMemory(ctx context.Context) {
	if setByUser(os.Environ(), "GOGC", "GOMEMLIMIT") {
		return
	}
	debug.SetGCPercent(garbagePercent)
	debug.SetMemoryLimit(restingGoal)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var load loadWatch
	sample := []metrics.Sample{{Name: allocatedMetric}}
	metrics.Read(sample)
	allocated, at := sample[0].Value.Uint64(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(sample)
		now := time.Now()
		rate := float64(sample[0].Value.Uint64()-allocated) / now.Sub(at).Seconds()
		allocated, at = sample[0].Value.Uint64(), now
		switch load.next(rate) {
		case becameBusy:
			debug.SetMemoryLimit(busyGoal)
		case cameToRest, stillAtRest:
			debug.SetMemoryLimit(restingGoal)
			debug.FreeOSMemory()
			debug.FreeOSMemory() // what pools hold is garbage only to the second collection
		case unchanged:
		}
	}
}

type loadChange int

const (
	unchanged loadChange = iota
	becameBusy
	cameToRest
	stillAtRest
)

// loadWatch tells load from rest. It is slower to believe in rest, so that pauses between requests change nothing.
type loadWatch struct {
	busy bool
	left int // looks until all is given back
}

// next takes the bytes allocated in a second since the last look.
func (w *loadWatch) next(rate float64) loadChange {
	switch {
	case !w.busy && rate >= busyFrom:
		w.busy, w.left = true, stillAfter
		return becameBusy
	case w.busy && rate >= restBelow:
		w.left = stillAfter
	case w.left > 0:
		switch w.left--; w.left {
		case stillAfter - restAfter:
			w.busy = false
			return cameToRest
		case 0:
			return stillAtRest
		}
	}
	return unchanged
}
