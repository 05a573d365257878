package dev

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// With all services in one process, the heap may grow by garbagePercent of the live bytes, as long as the process
// stays below a goal. The program file adds some 50 MB to the process's resident memory.
//
// The resting goal keeps an idle process below the 150 MB that souk promises. Under load it would leave only some 15
// MB between the live bytes and the goal, and garbage collection would take more than a third of the CPU. The busy
// goal therefore holds while the allocation rate is high. Within two seconds after the load, the memory is released
// to the system.
//
// The live bytes and the holes that a load leaves between them may exceed a goal. Then the limit leaves room for a
// quarter of the live bytes. With a limit that can't be kept, Go would collect some fifty times a second.
const (
	garbagePercent = 300
	restingGoal    = 88 << 20
	busyGoal       = 184 << 20

	// busyFrom and restBelow are allocation rates in bytes per second. A checkout allocates a quarter of a megabyte.
	busyFrom  = 48 << 20
	restBelow = 24 << 20
	// restAfter is how many ticks in a row with a low rate end the load. Every releaseEvery ticks after that, up to
	// releaseUntil, memory is released again: JetStream keeps blocks of 8 MB until they have been unused for 10 s.
	restAfter    = 2
	releaseEvery = 4
	releaseUntil = 24

	memoryPollInterval = 500 * time.Millisecond
)

// tuneMemory adapts this process's memory limit to its load until ctx ends. It does nothing if the environment sets
// GOGC or GOMEMLIMIT.
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
	ticker := time.NewTicker(memoryPollInterval)
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
			debug.FreeOSMemory() // only the second collection frees what a sync.Pool holds
			use.read()
		case unchanged:
		}
		if l := use.limit(goal); l != limit {
			limit = l
			debug.SetMemoryLimit(limit)
		}
	}
}

// memoryUse holds the runtime's memory metrics, in bytes.
type memoryUse struct {
	samples  []metrics.Sample
	overhead [overheadTicks]int64 // what counts against a limit besides objects, in the last ticks
	ticks    int
}

// overheadTicks is over how many ticks limit takes the largest overhead. Between two collections new objects fill the
// holes in the heap; the next collection opens the holes again.
const overheadTicks = 4

const (
	useAllocated = iota // allocated since the start, cumulative
	useLive             // found live by the last collection
	useObjects          // live or not yet collected
	useFree             // in heap spans without objects
	useReleased         // released to the system
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
	u.overhead[u.ticks%overheadTicks] = u.value(
		useTotal,
	) - u.value(
		useReleased,
	) - u.value(
		useFree,
	) - u.value(
		useObjects,
	)
	u.ticks++
}

func (u *memoryUse) value(i int) int64 { return int64(u.samples[i].Value.Uint64()) }

func (u *memoryUse) allocated() int64 { return u.value(useAllocated) }

// limit returns the larger of goal and what leaves room for a quarter more than the live bytes. Stacks, the runtime's
// own memory and the holes between objects count against a limit, too (memoryLimitHeapGoal in Go's
// src/runtime/mgcpacer.go).
func (u *memoryUse) limit(goal int64) int64 {
	needed := slices.Max(u.overhead[:]) + u.value(useLive) + u.value(useLive)/4
	const step = 4 << 20 // a small change does not change the limit
	return max(goal, (needed+step-1)/step*step)
}

type loadChange int

const (
	unchanged loadChange = iota
	becameBusy
	cameToRest
	stillAtRest
)

// loadWatch detects when load begins and ends. It detects the end later, so that short pauses change nothing.
type loadWatch struct {
	busy bool
	left int // ticks until the last release of memory
}

// next handles one tick. The rate is in bytes allocated per second since the tick before.
func (w *loadWatch) next(rate float64) loadChange {
	switch {
	case !w.busy && rate >= busyFrom:
		w.busy, w.left = true, releaseUntil
		return becameBusy
	case w.busy && rate >= restBelow:
		w.left = releaseUntil
	case w.left > 0:
		w.left--
		switch resting := releaseUntil - w.left; {
		case resting == restAfter:
			w.busy = false
			return cameToRest
		case resting > restAfter && resting%releaseEvery == 0 && rate < restBelow:
			return stillAtRest
		}
	}
	return unchanged
}
