package saga

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/failpoint"
)

// write makes a write of the saga as it is. It does not match a row that is further than this owner knows: a batch of its
// own was done and its answer lost. What was done exactly once is not taken back; the next owner goes on from there.
func (x *exec) write(to State) *write {
	low, high := -1, x.step
	if x.state == Compensating { // steps count down
		low, high = x.step, anyStep
	}
	w := &write{
		id: x.run.id, epoch: x.run.epoch, from: x.state, low: low, high: high,
		state: to, step: x.step, results: x.run.snapshot(), attempts: x.attempts, lastError: x.lastError, cause: x.cause,
		story: x.story[:len(x.story):len(x.story)],
	}
	return w
}

// told begins the story anew after a write, unless that left it to the next.
func (x *exec) told(w *write) {
	x.story = x.story[:0:0]
	if w.quiet() {
		x.story = w.story
	}
}

// submit does a write of the runner's own until it is known to be done, or until the lease has lapsed.
func (x *exec) submit(w *write, at window) verdict {
	for n := 1; ; n++ {
		err := failpoint.Hit(x.ctx, at.before)
		if err == nil {
			err = x.r.store.write(x.ctx, w)
		}
		if err == nil {
			err = failpoint.Hit(x.ctx, at.after)
		}
		switch {
		case err == nil:
			x.told(w)
			return goOn
		case errors.Is(err, errLost) || x.ctx.Err() != nil || x.r.lapsed(x):
			return abandoned
		}
		x.r.log.Warn("saga write failed", zap.String("saga", x.run.id), zap.Error(err))
		timer := time.NewTimer(x.r.backoff(n, err))
		select {
		case <-timer.C:
		case <-x.ctx.Done():
			timer.Stop()
			return abandoned
		}
	}
}

// checkpoint writes how far the saga is.
func (x *exec) checkpoint() verdict {
	w := x.write(Running)
	v := x.submit(w, x.p.checkpoint)
	if v == goOn {
		x.saved = x.step
	}
	return v
}

func (x *exec) end(state State) verdict {
	x.ending.Store(true)
	if v := x.submit(x.write(state), x.p.end); v != goOn {
		return v
	}
	x.state = state
	return x.over()
}

// over says that the saga has ended.
func (x *exec) over() verdict {
	x.r.metrics.ended.WithLabelValues(x.p.Type, string(x.state)).Inc()
	o := &Outcome{ID: x.run.id, State: Confirmed, results: x.run.snapshot()}
	if x.state == Compensated {
		o.State, o.Err = Compensated, x.cause
		x.r.log.Info("saga compensated", zap.String("type", x.p.Type), zap.String("saga", x.run.id), zap.Error(x.cause))
	}
	x.settle(o)
	return ended
}

// release gives up the lease for d. Another runner, or this one, claims the saga then.
func (x *exec) release(d time.Duration) verdict {
	x.ending.Store(true)
	w := x.write(x.state)
	w.release, w.delay = true, d
	if v := x.submit(w, x.p.release); v != goOn {
		return v
	}
	return ended
}

// park leaves the saga to an operator.
func (x *exec) park(err error) verdict {
	x.ending.Store(true)
	cause := x.cause
	if cause == nil {
		cause = errs.From(err)
	}
	w := x.write(Parked)
	w.parkedFrom, w.cause, w.lastError = x.state, cause, err.Error()
	if v := x.submit(w, x.p.park); v != goOn {
		return v
	}
	x.r.metrics.ended.WithLabelValues(x.p.Type, string(Parked)).Inc()
	x.r.metrics.parked.WithLabelValues(x.p.Type).Inc()
	x.r.log.Error("saga parked: it needs an operator",
		zap.String("type", x.p.Type), zap.String("saga", x.run.id), zap.Int("step", x.step), zap.String("from", string(x.state)), zap.Error(err))
	x.settle(&Outcome{ID: x.run.id, State: Parked, Err: cause, results: x.run.snapshot()})
	return ended
}

func (x *exec) record(n int, kind, name string, began time.Time, err error) record {
	r := record{N: n, Kind: kind, Name: name, Attempts: x.attempts + 1, Started: began, Finished: x.r.clock.Now()}
	switch {
	case err == nil && kind == "do":
		r.State = "done"
	case err == nil:
		r.State = "undone"
	default:
		r.Code, r.Err = codeOf(err), clean(err.Error())
		r.State = "refused"
		if errs.Unknown(err) {
			r.State = "unknown"
		}
	}
	return r
}

// note keeps a line of the story for the next checkpoint. Of tries in a row whose outcome is unknown only the last stays.
func (x *exec) note(n int, kind, name string, began time.Time, err error) {
	r := x.record(n, kind, name, began, err)
	if last := len(x.story) - 1; last >= 0 && x.story[last].N == n && x.story[last].Kind == kind && x.story[last].State == "unknown" {
		r.Started = x.story[last].Started
		x.story = append(x.story[:last:last], r)
		return
	}
	x.story = append(x.story, r)
}
