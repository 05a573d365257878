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

	"souk/pkg/errs"
	"souk/pkg/failpoint"
)

// verdict says why drive stopped, or that it goes on.
type verdict int

const (
	// ended: the saga is done, compensated, parked or released. This runner no longer holds it.
	ended verdict = iota
	// abandoned: the saga has another owner or will soon have one. This runner writes nothing more.
	abandoned
	// handOver: no caller waits any longer. The saga goes on in the background.
	handOver
	// proceed: the saga goes on.
	proceed
)

const (
	// maxInlineDelay is the longest delay that a worker waits for. Before a longer one it releases the saga.
	maxInlineDelay = 250 * time.Millisecond
	// maxBeforePivot is the longest delay before the pivot, when a caller may be waiting.
	maxBeforePivot = time.Second
	anyStep        = math.MaxInt32
)

// exec is the execution of a saga that this runner holds. One goroutine at a time drives it.
type exec struct {
	r   *Runner
	p   *plan
	run Run

	state     State
	step      int
	saved     int // the step in the row; all batches below it have taken effect
	attempts  int
	lastError string
	cause     *errs.Error
	history   []record
	// handedOver is when the caller got its answer or left, as time since the runner began. It is 0 before that, and
	// for a saga that never had a caller.
	handedOver time.Duration

	deadline time.Time
	// leased is when the lease was last known to be renewed, in nanoseconds since the runner began.
	leased atomic.Int64
	// ending is set before the last write. After that write, a renewal finds no row.
	ending atomic.Bool
	ctx    context.Context //nolint:containedctx // a saga outlives the call that started it
	cancel context.CancelFunc

	// resolved is closed when the outcome is known, or when this runner no longer decides it; outcome is nil then.
	resolved chan struct{}
	once     sync.Once
	outcome  *Outcome
}

func (x *exec) resolve(o *Outcome) {
	x.once.Do(func() {
		x.outcome = o
		close(x.resolved)
	})
}

func (x *exec) pastPivot() bool { return x.state == Running && x.step > x.p.pivot }

// pivotMayBeCalled reports whether the saga is at a pivot that is a call and that may have been called.
func (x *exec) pivotMayBeCalled() bool {
	return x.state == Running && x.step == x.p.pivotCall && x.saved == x.p.pivotCall
}

// drive runs the saga until there is a reason to stop. The channel gone is closed when the caller leaves; it is
// nil if there is no caller.
func (x *exec) drive(gone <-chan struct{}) verdict {
	for {
		if v := x.pause(gone); v != proceed {
			return v
		}
		var v verdict
		switch {
		case x.state == Compensating:
			v = x.backward(gone)
		case x.step == len(x.p.steps):
			v = x.end(Done)
		default:
			v = x.forward(gone)
			if v == proceed && gone != nil && x.pastPivot() && !x.promptNext() {
				x.confirm()
				return handOver
			}
		}
		if v != proceed {
			return v
		}
	}
}

// confirm resolves the outcome for callers that wait for the pivot.
func (x *exec) confirm() {
	x.resolve(&Outcome{ID: x.run.id, State: Confirmed, results: x.run.snapshot()})
}

// promptNext reports whether the next step is attempted before the caller gets its answer.
func (x *exec) promptNext() bool { return x.step < len(x.p.steps) && x.p.steps[x.step].Prompt }

// pause checks between two steps whether the saga goes on here.
func (x *exec) pause(gone <-chan struct{}) verdict {
	if x.ctx.Err() != nil || x.r.lapsed(x) {
		return abandoned
	}
	if gone == nil {
		if x.r.draining() {
			return x.release(0)
		}
		return proceed
	}
	select {
	case <-gone:
		return handOver
	default:
		return proceed
	}
}

// forward attempts the next step.
func (x *exec) forward(gone <-chan struct{}) verdict {
	s := &x.p.steps[x.step]
	if x.step <= x.p.pivot && !x.pivotMayBeCalled() && time.Now().After(x.deadline) {
		return x.fail(x.deadlineError())
	}
	if x.step == x.p.pivotCall && x.saved != x.step {
		// The next owner must know that the pivot may have been called: the deadline no longer applies then.
		if v := x.checkpoint(); v != proceed {
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
		x.advance(began, s)
		if x.step-1 == x.p.pivotCall {
			return x.checkpoint()
		}
		if x.state == Done { // the batch was the last step
			return x.announceEnd()
		}
		return proceed
	}
	x.note(x.step, "do", s.Name, began, err)
	if x.pastPivot() {
		x.confirm() // a prompt step was attempted once: the caller does not wait for more
	}
	switch {
	case errs.OutcomeUnknown(err):
		return x.retry(err, gone)
	case x.step <= x.p.pivot:
		return x.fail(errs.From(err))
	default:
		return x.park(err)
	}
}

// advance moves on to the next step.
func (x *exec) advance(began time.Time, s *planStep) {
	if s.Batch != nil { // the history was written with the batch
		x.saved = x.step + 1
	} else {
		x.note(x.step, "do", s.Name, began, nil)
	}
	x.step++
	x.attempts, x.lastError = 0, ""
}

// batch sends the step's writes and the saga's progress in one transaction.
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
	w.history = append(w.history, x.record(x.step, "do", s.Name, began, nil))
	err := x.r.store.write(x.ctx, w)
	if err == nil {
		s.written()
		err = failpoint.Hit(x.ctx, s.afterDo)
	}
	if errors.Is(err, errDone) { // by an earlier attempt, whose answer was lost
		err = nil
	}
	if err == nil {
		x.dropWritten(w)
	}
	if last {
		if err == nil {
			x.state = Done
		}
		x.ending.Store(err == nil)
	}
	return err
}

// backward undoes the next step.
func (x *exec) backward(gone <-chan struct{}) verdict {
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
			return x.announceEnd()
		}
		return proceed
	}
	x.note(n, "undo", s.Name, began, err)
	if errs.OutcomeUnknown(err) {
		return x.retry(err, gone)
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
	w.history = append(w.history, x.record(x.step, "undo", s.Name, began, nil))
	err := x.r.store.write(x.ctx, w)
	if err == nil {
		s.written()
		err = failpoint.Hit(x.ctx, s.afterUndo)
	}
	if errors.Is(err, errDone) {
		err = nil
	}
	if err == nil {
		x.dropWritten(w)
		x.state = w.state
	}
	x.ending.Store(err == nil && next < 0)
	return err
}

// try calls a participant once. Its failpoints simulate a lost request and a lost answer.
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
	ctx, cancel := context.WithTimeout(x.ctx, timeout)
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

// guard turns a panic into an error, so that it does not end the process and all other sagas.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a saga's step: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// retry waits before the next attempt of the step, or gives the saga up.
func (x *exec) retry(err error, gone <-chan struct{}) verdict {
	x.attempts++
	x.lastError = err.Error()
	d := x.r.backoff(x.attempts, err)
	if x.state == Running && x.step <= x.p.pivot && !x.pivotMayBeCalled() {
		// The deadline ends the attempts, not their number.
		d = min(d, maxBeforePivot, max(time.Until(x.deadline), 0))
	} else if x.attempts >= x.r.opts.MaxAttempts && errs.Is(err, errs.Internal) {
		return x.park(err) // a bug does not go away by itself; an outage does, and may take long
	}
	if gone == nil && d > maxInlineDelay {
		return x.release(d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ctx.Done():
	case <-gone:
	case <-x.r.drain:
		if gone != nil { // a caller still waits: the backoff stays
			select {
			case <-timer.C:
			case <-x.ctx.Done():
			case <-gone:
			}
		}
	}
	return proceed
}

func (x *exec) deadlineError() *errs.Error {
	return errs.Wrap(errors.New("deadline passed: "+x.lastError), errs.Unavailable,
		"it could not be completed in time, and nothing of it was kept").WithRetryAfter(time.Second)
}

// fail starts compensation. It writes the new state before the first undo, so that no later owner goes forward.
func (x *exec) fail(cause *errs.Error) verdict {
	top := x.p.undoable(x.reach())
	if top < 0 {
		x.cause = cause
		return x.end(Compensated)
	}
	w := x.write(Compensating)
	w.step, w.cause, w.lastError, w.attempts = top, cause, cause.Error(), 0
	if v := x.submit(w, x.p.compensating); v != proceed {
		return v
	}
	x.cause, x.state, x.step, x.attempts, x.lastError = cause, Compensating, top, 0, ""
	return proceed
}

// reach returns the highest step that may have taken effect, by this or an earlier owner, which may be dead or
// stalled. An earlier owner may have got further than this one, but not past one of its own writes, which the row
// would show.
func (x *exec) reach() int {
	barrier := func(n int) bool { return x.p.steps[n].Batch != nil || n == x.p.pivotCall && x.saved != n }
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

// backoff returns the delay before attempt n+1. It doubles with each attempt and has jitter, so that many sagas do
// not retry at the same time.
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
