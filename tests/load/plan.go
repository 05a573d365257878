package main

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// stage is a part of a plan. The rate of arrivals changes evenly from that of the stage before to this one's.
type stage struct {
	duration time.Duration
	rate     float64 // arrivals per second at the end of the stage
}

// steady returns a plan with one rate.
func steady(rate float64, d time.Duration) []stage { return []stage{{0, rate}, {d, rate}} }

// length returns how long a plan takes.
func length(plan []stage) (d time.Duration) {
	for _, s := range plan {
		d += s.duration
	}
	return d
}

// arrivals returns the times at which visitors arrive, after the plan's begin. Visitors don't know of each other, so the
// times are those of a Poisson process. They depend on the plan and the seed only, never on how fast souk is.
func arrivals(plan []stage, seed uint64) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // reproducible on purpose
		due := r.ExpFloat64()               // in expected arrivals, which come at rate 1
		passed, from, began := 0.0, 0.0, time.Duration(0)
		for _, s := range plan {
			seconds := s.duration.Seconds()
			expected := (from + s.rate) / 2 * seconds
			for ; due < passed+expected; due += r.ExpFloat64() {
				at := within(due-passed, from, s.rate, seconds)
				if !yield(began + time.Duration(at*float64(time.Second))) {
					return
				}
			}
			passed, from, began = passed+expected, s.rate, began+s.duration
		}
	}
}

// within returns after how many seconds of a stage n visitors are expected. The stage's rate changes from one to another.
func within(n, from, to, seconds float64) float64 {
	slope := (to - from) / seconds
	if math.Abs(slope) < 1e-9 {
		return n / from
	}
	return (math.Sqrt(max(0, from*from+2*slope*n)) - from) / slope
}
