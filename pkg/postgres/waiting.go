package postgres

import (
	"runtime"
	"time"

	"souk/pkg/cohort"
)

const (
	// soon is how many lingers after a run another one still counts as coming soon.
	soon = 4
	// yields is how often in a row everybody else who can run has a turn without bringing a caller.
	yields = 3
	// gatherFor bounds how long the first caller waits for those behind it.
	gatherFor = 3 * time.Millisecond
)

// pause waits for the linger, unless there are callers enough or the group is closing, nobody waits, or the last run
// is long over.
func (g *Group[T, R]) pause() {
	enough := g.max
	if g.cfg.company != nil {
		enough = min(enough, (3*g.cfg.company()+2)/4)
	}
	g.mu.Lock()
	n := len(g.waiting)
	if n == 0 || n >= enough || g.enough > 0 || g.closed || time.Since(g.ended) >= soon*g.cfg.linger {
		g.mu.Unlock()
		return
	}
	g.enough = enough
	g.mu.Unlock()
	t := time.NewTimer(g.cfg.linger)
	defer t.Stop()
	select {
	case <-g.there:
		return
	case <-t.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.enough == 0 {
		<-g.there // at the same time
	}
	g.enough = 0
}

// gather waits for callers that are on their way: those that the last run has answered, or another group's, come
// to this one together, a few microseconds apart, and would otherwise make a run of the first and another of
// the rest. It gives way to whoever can run, and waits for nothing else: on a machine that idles that takes no time.
func (g *Group[T, R]) gather() {
	began := time.Now()
	for before := -1; ; {
		g.mu.Lock()
		n := len(g.waiting)
		g.mu.Unlock()
		if n == before || n == 0 || n >= g.max || time.Since(began) > gatherFor {
			return
		}
		before = n
		for range yields {
			runtime.Gosched()
		}
	}
}

const (
	// cohortQuiet is how long a cohort waits without another of it coming, and cohortWait how long in all.
	cohortQuiet = 2 * time.Millisecond
	cohortWait  = 3 * cohortQuiet
)

// cohorts is what a group knows of the cohorts of its callers.
type cohorts struct {
	limit int // how many a run takes
	by    map[uint64]*arrivals
}

type arrivals struct {
	n, size     int // that have come, and that will
	waiting     int // of those that have come
	without     bool
	first, last time.Time
}

// add counts one more, and reports whether a run can take it now.
func (c *cohorts) add(h cohort.Hint, now time.Time) bool {
	if h.Size < 2 {
		return true
	}
	a := c.by[h.ID]
	if a == nil {
		c.prune(now)
		a = &arrivals{first: now, size: h.Size}
		c.by[h.ID] = a
	}
	a.n++
	a.waiting++
	a.size, a.last = min(a.size, h.Size), now // cohorts get smaller on their way
	return c.ready(a)
}

// ready reports whether nobody need wait for the rest: it is there, or too many for a run, or one went without it.
func (c *cohorts) ready(a *arrivals) bool {
	return a.without || a.n >= a.size || a.waiting >= c.limit
}

// missing returns how long a waiting caller should wait for the rest of its cohort; 0: no longer.
func (c *cohorts) missing(h cohort.Hint, now time.Time) time.Duration {
	a := c.by[h.ID]
	if h.Size < 2 || a == nil || c.ready(a) {
		return 0
	}
	return max(0, min(cohortQuiet-now.Sub(a.last), cohortWait-now.Sub(a.first)))
}

// remove takes out one that waits no more. A cohort that is not complete is remembered for a while: who comes late waits for
// nobody.
func (c *cohorts) remove(h cohort.Hint) {
	a := c.by[h.ID]
	if h.Size < 2 || a == nil {
		return
	}
	a.waiting--
	switch {
	case a.waiting > 0:
	case a.n >= a.size:
		delete(c.by, h.ID)
	default:
		a.without = true
	}
}

// prune forgets of whom nobody comes any more.
func (c *cohorts) prune(now time.Time) {
	for id, a := range c.by {
		if a.waiting == 0 && now.Sub(a.last) > cohortWait {
			delete(c.by, id)
		}
	}
}

// sleep waits for the rest of a cohort, or for somebody who waits for nobody, at most for d.
func (g *Group[T, R]) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-g.woken:
	case <-t.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asleep = false
	select {
	case <-g.woken: // at the same time
	default:
	}
}

func wake(woken chan struct{}) {
	select {
	case woken <- struct{}{}:
	default: // it is being woken
	}
}
