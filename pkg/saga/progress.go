package saga

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/failpoint"
)

// write returns a write of the saga's current progress. It does not match a row that is further than this owner
// knows, which happens if a batch was committed but its answer was lost. Progress is then not reverted; the next
// owner continues from the row.
func (x *exec) write(to State) *write {
	low, high := -1, x.step
	if x.state == Compensating { // steps count down
		low, high = x.step, anyStep
	}
	w := &write{
		id:        x.run.id,
		epoch:     x.run.epoch,
		from:      x.state,
		low:       low,
		high:      high,
		state:     to,
		step:      x.step,
		results:   x.run.snapshot(),
		attempts:  x.attempts,
		lastError: x.lastError,
		cause:     x.cause,
		history:   x.history[:len(x.history):len(x.history)],
	}
	return w
}

// dropWritten drops the part of the history that w has written. It keeps a history that w has deferred.
func (x *exec) dropWritten(w *write) {
	x.history = x.history[:0:0]
	if w.deferred() {
		x.history = w.history
	}
}

// submit sends a write without a batch until it is known to have taken effect, or until the lease has lapsed.
func (x *exec) submit(w *write, at failpoints) verdict {
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
			x.dropWritten(w)
			return proceed
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

// checkpoint writes the saga's progress.
func (x *exec) checkpoint() verdict {
	w := x.write(Running)
	v := x.submit(w, x.p.checkpoint)
	if v == proceed {
		x.saved = x.step
	}
	return v
}

func (x *exec) end(state State) verdict {
	x.ending.Store(true)
	if v := x.submit(x.write(state), x.p.end); v != proceed {
		return v
	}
	x.state = state
	return x.announceEnd()
}

// announceEnd resolves the outcome of a saga whose end is written.
func (x *exec) announceEnd() verdict {
	x.r.metrics.ended.WithLabelValues(x.p.Type, string(x.state)).Inc()
	o := &Outcome{ID: x.run.id, State: Confirmed, results: x.run.snapshot()}
	if x.state == Compensated {
		o.State, o.Err = Compensated, x.cause
		x.r.log.Info("saga compensated", zap.String("type", x.p.Type), zap.String("saga", x.run.id), zap.Error(x.cause))
	}
	x.resolve(o)
	return ended
}

// release gives up the lease. Any runner may claim the saga after d.
func (x *exec) release(d time.Duration) verdict {
	x.ending.Store(true)
	w := x.write(x.state)
	w.release, w.delay = true, d
	if v := x.submit(w, x.p.release); v != proceed {
		return v
	}
	return ended
}

// park stops the saga until an operator resumes it.
func (x *exec) park(err error) verdict {
	x.ending.Store(true)
	cause := x.cause
	if cause == nil {
		cause = errs.From(err)
	}
	w := x.write(Parked)
	w.parkedFrom, w.cause, w.lastError = x.state, cause, err.Error()
	if v := x.submit(w, x.p.park); v != proceed {
		return v
	}
	x.r.metrics.ended.WithLabelValues(x.p.Type, string(Parked)).Inc()
	x.r.metrics.parked.WithLabelValues(x.p.Type).Inc()
	x.r.log.Error("saga parked: it needs an operator", zap.String("type", x.p.Type), zap.String("saga", x.run.id),
		zap.Int("step", x.step), zap.String("from", string(x.state)), zap.Error(err))
	x.resolve(&Outcome{ID: x.run.id, State: Parked, Err: cause, results: x.run.snapshot()})
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
		if errs.OutcomeUnknown(err) {
			r.State = "unknown"
		}
	}
	return r
}

// note adds a line to the history, which the next checkpoint writes. Consecutive attempts whose outcome is unknown
// share one line.
func (x *exec) note(n int, kind, name string, began time.Time, err error) {
	r := x.record(n, kind, name, began, err)
	if last := len(x.history) - 1; last >= 0 && x.history[last].N == n && x.history[last].Kind == kind &&
		x.history[last].State == "unknown" {
		r.Started = x.history[last].Started
		x.history = append(x.history[:last:last], r)
		return
	}
	x.history = append(x.history, r)
}
