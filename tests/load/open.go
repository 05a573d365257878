package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	mostVisitors = 20_000          // who may be there at once
	lastVisits   = 2 * time.Minute // how long visits may take after the last arrival
)

// crowd sends visitors to souk by a plan, whether the visitors before them are done or not.
type crowd struct {
	client    *client
	catalogue *catalogue
	think     float64
	visit     func(context.Context, *visitor)

	// enough ends the arrivals before the plan's end, if it is closed; nil: the plan's end does.
	enough <-chan struct{}

	here atomic.Int64
	most atomic.Int64
}

// run lets the visitors of a plan arrive, and waits until all have left.
func (c *crowd) run(ctx context.Context, plan []stage, seed uint64) error {
	var wg sync.WaitGroup
	visits, cancel := context.WithTimeout(ctx, length(plan)+lastVisits)
	defer cancel()
	began := time.Now()
	n := uint64(0)
	for at := range arrivals(plan, seed) {
		due := began.Add(at)
		if !c.awaitArrival(ctx, due) {
			break
		}
		n++
		if c.here.Load() >= mostVisitors {
			c.client.recorder.drop()
			continue
		}
		v := &visitor{
			client: c.client, catalogue: c.catalogue, due: due, think: c.think,
			rand: rand.New(rand.NewPCG(seed, n)), //nolint:gosec // reproducible on purpose
		}
		wg.Go(func() {
			most := c.here.Add(1)
			for known := c.most.Load(); most > known && !c.most.CompareAndSwap(known, most); known = c.most.Load() {
			}
			defer c.here.Add(-1)
			c.visit(visits, v)
		})
	}
	wg.Wait()
	if ctx.Err() == nil && visits.Err() != nil {
		return fmt.Errorf("visits still went on %s after the last arrival", lastVisits)
	}
	return ctx.Err()
}

// awaitArrival waits until a visitor is due. It reports false if there are to be no more.
func (c *crowd) awaitArrival(ctx context.Context, due time.Time) bool {
	select {
	case <-c.enough:
		return false
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(due)):
		return true
	}
}
