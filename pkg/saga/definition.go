package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Definition defines a type of saga. A change that affects running sagas (steps added, removed or reordered) needs
// a new Version. The old definition must stay as long as sagas of its version run.
type Definition struct {
	// Type names it, e.g. "checkout". It is part of failpoints, metrics and the stored saga.
	Type string
	// Version distinguishes definitions of one type and is at least 1. New sagas get the highest version that the
	// runner knows.
	Version int
	// Deadline is how long a saga may take to reach its pivot before it is compensated. 0 means 15 s.
	Deadline time.Duration
	// Steps run in order. Exactly one is the pivot.
	Steps []Step
}

// Step is one step of a saga. It has either a Do, which calls a participant, or a Batch, which writes to the
// saga's own database.
type Step struct {
	// Name is unique in the definition. It is part of the idempotency key.
	Name string
	// Do calls a participant. It may be called again with the same [Run.Key], possibly by another process.
	Do func(ctx context.Context, r *Run) error
	// Batch queues writes that take effect exactly once: they commit in one transaction with the saga's progress. It
	// may be called again after an error, so it must do nothing but queue. To refuse the step, queue a select of
	// souk_saga_require(holds boolean, code text, message text); a callback of the batch runs too late for that.
	Batch func(r *Run, b *pgx.Batch) error
	// Undo reverts Do, or makes sure that it never takes effect. It is nil if there is nothing to revert, and for
	// steps after the pivot. A pivot with a Do may have an Undo, which is called only if the pivot was refused.
	Undo func(ctx context.Context, r *Run) error
	// UndoBatch queues writes that revert Batch, also exactly once.
	UndoBatch func(r *Run, b *pgx.Batch) error
	// Written is called after the commit of Batch or UndoBatch, in the process that wrote it. It may be skipped if
	// the outcome of the commit is unknown. It must not block. It may be nil.
	Written func()
	// Timeout bounds one attempt of Do or Undo. 0 means the runner's StepTimeout.
	Timeout time.Duration
	// Pivot marks the step after which the saga only goes forward.
	Pivot bool
	// Prompt marks a step directly after the pivot, or after another prompt step, that is attempted once before
	// Execute returns. A caller that learns that the saga is confirmed sees its effect, unless the first attempt
	// failed.
	Prompt bool
}

const defaultDeadline = 15 * time.Second

// validate reports everything that is wrong with d.
func (d Definition) validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if d.Type == "" {
		bad("it has no type")
	}
	if d.Version < 1 {
		bad("version %d is not at least 1", d.Version)
	}
	pivot, seen := -1, map[string]bool{}
	for i, s := range d.Steps {
		switch {
		case s.Name == "":
			bad("step %d has no name", i)
		case seen[s.Name]:
			bad("two steps are called %s", s.Name)
		}
		seen[s.Name] = true
		if s.Pivot {
			if pivot >= 0 {
				bad("%s and %s are both the pivot", d.Steps[pivot].Name, s.Name)
			}
			pivot = i
		}
		if (s.Do == nil) == (s.Batch == nil) {
			bad("step %s needs either Do or Batch", s.Name)
		}
		if s.Undo != nil && s.Do == nil || s.UndoBatch != nil && s.Batch == nil {
			bad("step %s: Undo belongs to Do, UndoBatch to Batch", s.Name)
		}
		if s.Pivot && s.UndoBatch != nil {
			bad("step %s: a pivot that is a Batch is done or not, so it has no UndoBatch", s.Name)
		}
		if s.Prompt && (pivot < 0 || s.Pivot || i > pivot+1 && !d.Steps[i-1].Prompt) {
			bad("step %s: a prompt step stands right behind the pivot", s.Name)
		}
		if s.Written != nil && s.Batch == nil {
			bad("step %s: Written belongs to Batch", s.Name)
		}
		if pivot >= 0 && !s.Pivot && (s.Undo != nil || s.UndoBatch != nil) {
			bad("step %s comes after the pivot: it cannot be undone", s.Name)
		}
	}
	if pivot < 0 {
		bad("no step is the pivot")
	}
	if len(problems) > 0 {
		return fmt.Errorf("saga %s version %d: %w", d.Type, d.Version, errors.Join(problems...))
	}
	return nil
}

// Failpoints returns the names of d's failpoints, in the order in which a saga passes them. There is one between
// any two effects. They are armed with pkg/failpoint, in tests and through SOUK_FAILPOINTS.
func Failpoints(d Definition) []string {
	p := newPlan(d)
	names := []string{p.started, p.claimed}
	for i, s := range p.steps {
		if i == p.pivotCall {
			names = append(names, p.checkpoint.before, p.checkpoint.after)
		}
		names = append(names, s.beforeDo, s.afterDo)
	}
	names = append(names, p.compensating.before, p.compensating.after)
	for i := len(p.steps) - 1; i >= 0; i-- {
		if s := p.steps[i]; s.Undo != nil || s.UndoBatch != nil {
			names = append(names, s.beforeUndo, s.afterUndo)
		}
	}
	for _, w := range []failpoints{p.release, p.park, p.end} {
		names = append(names, w.before, w.after)
	}
	return names
}

// plan is a definition with everything that can be precomputed.
type plan struct {
	Definition
	steps []planStep
	pivot int

	started, claimed                             string
	checkpoint, compensating, release, park, end failpoints
	// pivotCall is the index of the pivot if it has a Do, and -1 otherwise. A checkpoint precedes such a pivot.
	pivotCall int
}

type planStep struct {
	Step
	beforeDo, afterDo, beforeUndo, afterUndo string
	spanDo, spanUndo                         string
}

// failpoints are the names of the failpoints before and after an effect.
type failpoints struct{ before, after string }

func newPlan(d Definition) *plan {
	if d.Deadline <= 0 {
		d.Deadline = defaultDeadline
	}
	w := func(name string) failpoints { return failpoints{d.Type + ".before_" + name, d.Type + ".after_" + name} }
	p := &plan{
		Definition:   d,
		pivotCall:    -1,
		started:      d.Type + ".after_start",
		claimed:      d.Type + ".after_claim",
		checkpoint:   w("checkpoint"),
		compensating: w("compensating"),
		release:      w("release"),
		park:         w("park"),
		end:          w("end"),
	}
	for i, s := range d.Steps {
		if s.Pivot {
			p.pivot = i
			if s.Do != nil {
				p.pivotCall = i
			}
		}
		do, undo := w(s.Name), w("undo_"+s.Name)
		p.steps = append(p.steps, planStep{
			Step: s, beforeDo: do.before, afterDo: do.after, beforeUndo: undo.before, afterUndo: undo.after,
			spanDo: "saga " + d.Type + "/" + s.Name, spanUndo: "saga " + d.Type + "/undo " + s.Name,
		})
	}
	return p
}

// undoable returns the highest step at or below n that has an undo, or -1.
func (p *plan) undoable(n int) int {
	for n = min(n, len(p.steps)-1); n >= 0; n-- {
		if p.steps[n].Undo != nil || p.steps[n].UndoBatch != nil {
			break
		}
	}
	return n
}
