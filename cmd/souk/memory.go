package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// All of souk in one process lets its heap grow to three times of what lives, as long as the whole stays below a
// goal. Some 50 MB of the program's file come on top.
//
// At rest the goal keeps it below the 150 MB that souk promises. Under load that goal would cost more than a third of the
// processor, for collecting garbage from the 15 MB that lie between it and what lives; so while much is
// allocated another one holds, and what was taken is given back to the system within two seconds of the load's end.
// What lives, and the holes that a load leaves between it, may exceed a goal: then the limit leaves room for
// a quarter of what lives above it. Go would collect some fifty times a second to keep a limit that cannot be kept.
const (
	garbagePercent = 300
	restingGoal    = 88 << 20
	busyGoal       = 184 << 20

	// busyFrom and restBelow are bytes allocated in a second; a checkout allocates a quarter of a megabyte.
	busyFrom  = 48 << 20
	restBelow = 24 << 20
	// restAfter is how many looks in a row must find rest. After every stillEvery more, until stillAfter, what JetStream has let
	// go since is given back, too: it keeps blocks of 8 MB in memory until nobody has asked for them for 10 s.
	restAfter  = 2
	stillEvery = 4
	stillAfter = 24
	lookEvery  = 500 * time.Millisecond
)

// tuneMemory sets how much memory this process may take, as long as ctx lasts, unless the user's environment says so.
func tuneMemory(ctx context.Context) {
	if setByUser(os.Environ(), "GOGC", "GOMEMLIMIT") {
		return
	}
	debug.SetGCPercent(garbagePercent)
	goal := int64(restingGoal)
	use := newMemoryUse()
	use.read()
	limit := use.limit(goal)
	debug.SetMemoryLimit(limit)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var load loadWatch
	allocated, at := use.allocated(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		use.read()
		now := time.Now()
		rate := float64(use.allocated()-allocated) / now.Sub(at).Seconds()
		allocated, at = use.allocated(), now
		switch load.next(rate) {
		case becameBusy:
			goal = busyGoal
		case cameToRest, stillAtRest:
			goal = restingGoal
			debug.FreeOSMemory()
			debug.FreeOSMemory() // what pools hold is garbage only to the second collection
			use.read()
		case unchanged:
		}
		if l := use.limit(goal); l != limit {
			limit = l
			debug.SetMemoryLimit(limit)
		}
	}
}

// memoryUse is what the runtime tells of memory, in bytes.
type memoryUse struct {
	samples []metrics.Sample
	around  [looks]int64 // what counts against a limit beside objects, at the last looks
	look    int
}

// looks is how many looks count: between two collections new objects fill holes, which are there again after the next.
const looks = 4

const (
	useAllocated = iota // ever
	useLive             // what the last collection found
	useObjects          // live, and not yet collected
	useFree             // in the heap's spans without objects
	useReleased         // to the system
	useTotal
)

func newMemoryUse() *memoryUse {
	return &memoryUse{samples: []metrics.Sample{
		useAllocated: {Name: "/gc/heap/allocs:bytes"},
		useLive:      {Name: "/gc/heap/live:bytes"},
		useObjects:   {Name: "/memory/classes/heap/objects:bytes"},
		useFree:      {Name: "/memory/classes/heap/free:bytes"},
		useReleased:  {Name: "/memory/classes/heap/released:bytes"},
		useTotal:     {Name: "/memory/classes/total:bytes"},
	}}
}

func (u *memoryUse) read() {
	metrics.Read(u.samples)
	u.around[u.look%looks] = u.value(useTotal) - u.value(useReleased) - u.value(useFree) - u.value(useObjects)
	u.look++
}

func (u *memoryUse) value(i int) int64 { return int64(u.samples[i].Value.Uint64()) }

func (u *memoryUse) allocated() int64 { return u.value(useAllocated) }

// limit is goal, or what leaves room for a quarter more than lives, where that is more. Stacks, the runtime's own and
// the holes between objects count against a limit as well (memoryLimitHeapGoal in Go's src/runtime/mgcpacer.go).
func (u *memoryUse) limit(goal int64) int64 {
	needed := slices.Max(u.around[:]) + u.value(useLive) + u.value(useLive)/4
	const step = 4 << 20 // not another limit for each change
	return max(goal, (needed+step-1)/step*step)
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
	left int // looks until the last is given back
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
		w.left--
		switch resting := stillAfter - w.left; {
		case resting == restAfter:
			w.busy = false
			return cameToRest
		case resting > restAfter && resting%stillEvery == 0 && rate < restBelow:
			return stillAtRest
		}
	}
	return unchanged
}
