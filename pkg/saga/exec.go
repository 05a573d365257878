package saga

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/pkg/cohort"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
)

// verdict is why an exec stopped being driven.
type verdict int

const (
	// ended: the saga is done, compensated or parked, or was released: this runner has nothing to do with it any more.
	ended verdict = iota
	// abandoned: the saga has another owner, or will soon have one. Nothing is written.
	abandoned
	// handOver: nobody waits for the saga here any more; it goes on in the background.
	handOver
	goOn
)

const (
	// patienceHere is the longest pause that a worker sits out; for a longer one the saga is released.
	patienceHere = 250 * time.Millisecond
	// maxBeforePivot is the longest pause while somebody may be waiting.
	maxBeforePivot = time.Second
	anyStep        = math.MaxInt32
)

// exec is a saga that this runner holds. One goroutine at a time drives it.
type exec struct {
	r   *Runner
	p   *plan
	run Run

	state     State
	step      int
	saved     int // the step in the row: every batch below it is done
	attempts  int
	lastError string
	cause     *errs.Error
	story     []record
	// handed is when the caller got its answer, or left, since the runner began; 0: it has no caller.
	handed time.Duration

	deadline time.Time
	// leased is when the lease was last known to be renewed, as nanoseconds since the runner began.
	leased atomic.Int64
	// ending is set before the last write, whose row a renewal will not find.
	ending atomic.Bool
	ctx    context.Context //nolint:containedctx // a saga outlives the call that started it
	cancel context.CancelFunc
	// together is the cohort of the saga's caller, while that waits; then of those that go on in the background with it.
	together *cohort.Member

	// settled is closed when there is an outcome, or when this runner is no longer the one to give it.
	settled chan struct{}
	once    sync.Once
	outcome *Outcome
}

func (x *exec) settle(o *Outcome) {
	x.once.Do(func() {
		x.outcome = o
		close(x.settled)
	})
}

func (x *exec) pastPivot() bool { return x.state == Running && x.step > x.p.pivot }

// called reports whether the saga is at a pivot that is a call, and that may have been made.
func (x *exec) calledPivot() bool {
	return x.state == Running && x.step == x.p.called && x.saved == x.p.called
}

// drive moves the saga on until there is a reason to stop. gone is closed when the caller has left; nil: nobody waits.
func (x *exec) drive(gone <-chan struct{}) verdict {
	for {
		if v := x.pause(gone); v != goOn {
			return v
		}
		var v verdict
		switch {
		case x.state == Compensating:
			v = x.back(gone)
		case x.step == len(x.p.steps):
			v = x.end(Done)
		default:
			v = x.forward(gone)
			if v == goOn && gone != nil && x.pastPivot() && !x.prompt() {
				x.confirm()
				return handOver
			}
		}
		if v != goOn {
			return v
		}
	}
}

// confirm answers whoever waits for the pivot.
func (x *exec) confirm() {
	x.settle(&Outcome{ID: x.run.id, State: Confirmed, results: x.run.snapshot()})
}

// prompt reports whether the next step is to be tried before the answer.
func (x *exec) prompt() bool { return x.step < len(x.p.steps) && x.p.steps[x.step].Prompt }

// pause is the way out between two steps.
func (x *exec) pause(gone <-chan struct{}) verdict {
	if x.ctx.Err() != nil || x.r.lapsed(x) {
		return abandoned
	}
	if gone == nil {
		if x.r.draining() {
			return x.release(0)
		}
		return goOn
	}
	select {
	case <-gone:
		return handOver
	default:
		return goOn
	}
}

// forward does the next step.
func (x *exec) forward(gone <-chan struct{}) verdict {
	s := &x.p.steps[x.step]
	if x.step <= x.p.pivot && !x.calledPivot() && time.Now().After(x.deadline) {
		return x.fail(x.late())
	}
	if x.step == x.p.called && x.saved != x.step {
		// Whoever takes over must know that the call may have been made: it is too late for the deadline then.
		if v := x.checkpoint(); v != goOn {
			return v
		}
	}
	began, tick := x.r.clock.Now(), time.Now()
	var err error
	if s.Batch != nil {
		err = x.batch(s)
	} else {
		err = x.try(s.beforeDo, s.afterDo, s.spanDo, s.Timeout, s.Do)
	}
	x.r.metrics.step(x.p, s.Name, "do", codeOf(err), time.Since(tick))
	switch {
	case errors.Is(err, errLost) || x.ctx.Err() != nil:
		return abandoned
	case err == nil:
		x.passed(began, s)
		if x.step-1 == x.p.called {
			return x.checkpoint()
		}
		if x.state == Done { // the batch was the last step
			return x.over()
		}
		return goOn
	}
	x.note(x.step, "do", s.Name, began, err)
	if x.pastPivot() {
		x.confirm() // a prompt step was tried: the answer does not wait for more
	}
	switch {
	case errs.Unknown(err):
		return x.again(err, gone)
	case x.step <= x.p.pivot:
		return x.fail(errs.From(err))
	default:
		return x.park(err)
	}
}

// passed moves on behind the step.
func (x *exec) passed(began time.Time, s *planStep) {
	if s.Batch != nil { // its line went with the batch
		x.saved = x.step + 1
	} else {
		x.note(x.step, "do", s.Name, began, nil)
	}
	x.step++
	x.attempts, x.lastError = 0, ""
}

// batch does the step's writes and notes the step as done, both or neither.
func (x *exec) batch(s *planStep) error {
	if err := failpoint.Hit(x.ctx, s.beforeDo); err != nil {
		return err
	}
	began := x.r.clock.Now()
	b := &pgx.Batch{}
	x.run.key = stepKey(x.run.id, s.Name)
	if err := guard(func() error { return s.Batch(&x.run, b) }); err != nil {
		return err
	}
	w := x.write(x.state)
	w.high, w.step, w.attempts, w.lastError, w.batch = x.step, x.step+1, 0, "", b
	last := w.step == len(x.p.steps)
	if last {
		w.state = Done
		x.ending.Store(true)
	}
	w.story = append(w.story, x.record(x.step, "do", s.Name, began, nil))
	err := x.r.store.write(x.joined(), w)
	if err == nil {
		s.written()
		err = failpoint.Hit(x.ctx, s.afterDo)
	}
	if errors.Is(err, errPassed) { // the answer of an earlier try was lost
		err = nil
	}
	if err == nil {
		x.told(w)
	}
	if last {
		if err == nil {
			x.state = Done
		}
		x.ending.Store(err == nil)
	}
	return err
}

// back undoes the next step.
func (x *exec) back(gone <-chan struct{}) verdict {
	n := x.p.undoable(x.step)
	if n < 0 {
		return x.end(Compensated)
	}
	s := &x.p.steps[n]
	x.step = n
	began, tick := x.r.clock.Now(), time.Now()
	var err error
	if s.UndoBatch != nil {
		err = x.undoBatch(s)
	} else {
		err = x.try(s.beforeUndo, s.afterUndo, s.spanUndo, s.Timeout, s.Undo)
	}
	x.r.metrics.step(x.p, s.Name, "undo", codeOf(err), time.Since(tick))
	if errors.Is(err, errLost) || x.ctx.Err() != nil {
		return abandoned
	}
	if err == nil {
		if s.UndoBatch == nil {
			x.note(n, "undo", s.Name, began, nil)
		}
		x.step, x.attempts, x.lastError = n-1, 0, ""
		if x.state == Compensated { // the batch was the last to undo
			return x.over()
		}
		return goOn
	}
	x.note(n, "undo", s.Name, began, err)
	if errs.Unknown(err) {
		return x.again(err, gone)
	}
	return x.park(err)
}

func (s *planStep) written() {
	if s.Written != nil {
		s.Written()
	}
}

func (x *exec) undoBatch(s *planStep) error {
	if err := failpoint.Hit(x.ctx, s.beforeUndo); err != nil {
		return err
	}
	began := x.r.clock.Now()
	b := &pgx.Batch{}
	x.run.key = stepKey(x.run.id, s.Name)
	if err := guard(func() error { return s.UndoBatch(&x.run, b) }); err != nil {
		return err
	}
	next := x.p.undoable(x.step - 1)
	w := x.write(Compensating)
	w.low, w.step, w.attempts, w.lastError, w.batch = x.step, next, 0, "", b
	if next < 0 {
		w.state = Compensated
		x.ending.Store(true)
	}
	w.story = append(w.story, x.record(x.step, "undo", s.Name, began, nil))
	err := x.r.store.write(x.joined(), w)
	if err == nil {
		s.written()
		err = failpoint.Hit(x.ctx, s.afterUndo)
	}
	if errors.Is(err, errPassed) {
		err = nil
	}
	if err == nil {
		x.told(w)
		x.state = w.state
	}
	x.ending.Store(err == nil && next < 0)
	return err
}

// try calls a participant once. Its failpoints stand for a request that was lost, and for an answer that was.
func (x *exec) try(before, after, span string, timeout time.Duration, f func(context.Context, *Run) error) error {
	if err := failpoint.Hit(x.ctx, before); err != nil {
		return err
	}
	if x.ctx.Err() != nil {
		return x.ctx.Err()
	}
	if timeout <= 0 {
		timeout = x.r.opts.StepTimeout
	}
	if x.state == Running && x.step < x.p.pivot {
		timeout = min(timeout, max(time.Until(x.deadline), time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(x.joined(), timeout)
	defer cancel()
	ctx, finish := x.span(ctx, span)
	step := x.p.steps[x.step].Name
	x.run.key = stepKey(x.run.id, step)
	err := guard(func() error { return f(ctx, &x.run) })
	finish(err)
	if lost := failpoint.Hit(x.ctx, after); lost != nil {
		return lost
	}
	return err
}

// joined is the context of what goes together with the cohort.
func (x *exec) joined() context.Context { return cohort.With(x.ctx, x.together) }

// guard makes a panic an error: it must not take the other sagas with it.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a saga's step: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// again waits before the step is tried once more.
func (x *exec) again(err error, gone <-chan struct{}) verdict {
	x.together.Leave() // it is late, and may be so for long
	x.attempts++
	x.lastError = err.Error()
	d := x.r.backoff(x.attempts, err)
	if x.state == Running && x.step <= x.p.pivot && !x.calledPivot() {
		// The deadline ends this, not the number of tries.
		d = min(d, maxBeforePivot, max(time.Until(x.deadline), 0))
	} else if x.attempts >= x.r.opts.MaxAttempts && errs.Is(err, errs.Internal) {
		return x.park(err) // a bug does not go away; an outage does, however long it takes
	}
	if gone == nil && d > patienceHere {
		return x.release(d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ctx.Done():
	case <-gone:
	case <-x.r.drain:
		if gone != nil { // somebody still waits: no hurry
			select {
			case <-timer.C:
			case <-x.ctx.Done():
			case <-gone:
			}
		}
	}
	return goOn
}

func (x *exec) late() *errs.Error {
	return errs.Wrap(errors.New("deadline passed: "+x.lastError), errs.Unavailable,
		"it could not be completed in time, and nothing of it was kept").WithRetryAfter(time.Second)
}

// fail turns round. That it does so is written before the first undo, so that nobody goes forward again.
func (x *exec) fail(cause *errs.Error) verdict {
	x.together.Leave() // the others go on
	top := x.p.undoable(x.reach())
	if top < 0 {
		x.cause = cause
		return x.end(Compensated)
	}
	w := x.write(Compensating)
	w.step, w.cause, w.lastError, w.attempts = top, cause, cause.Error(), 0
	if v := x.submit(w, x.p.compensating); v != goOn {
		return v
	}
	x.cause, x.state, x.step, x.attempts, x.lastError = cause, Compensating, top, 0, ""
	return goOn
}

// reach is the highest step that may have taken effect, here or through an earlier owner, dead or stalled.
// An earlier owner may have got further than this one, but not past a write of its own: the row would say so.
func (x *exec) reach() int {
	barrier := func(n int) bool { return x.p.steps[n].Batch != nil || n == x.p.called && x.saved != n }
	if x.run.epoch == 1 {
		if barrier(x.step) {
			return x.step - 1
		}
		return x.step
	}
	n := x.saved
	for n < len(x.p.steps) && n <= x.p.pivot && !barrier(n) {
		n++
	}
	return n - 1
}

func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return string(errs.CodeOf(err))
}

// backoff is the pause before try n+1: doubled each time, with jitter so that many do not come back at once.
func (r *Runner) backoff(n int, err error) time.Duration {
	d := r.opts.MaxBackoff
	if shift := n - 1; shift < 20 {
		d = min(d, r.opts.MinBackoff<<shift)
	}
	d = d/2 + rand.N(d/2+1) //nolint:gosec // jitter is no secret
	if e := errs.From(err); e.Code == errs.Overloaded || e.Code == errs.RateLimited {
		d = max(d, min(e.RetryAfter, r.opts.MaxBackoff))
	}
	return d
}
