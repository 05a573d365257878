package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Definition is a kind of saga. A change that running sagas would notice (steps added, removed, in another order)
// needs a new Version, and the old one stays as long as sagas of it run.
type Definition struct {
	// Type names it, e.g. "checkout". It is part of failpoints, metrics and the stored saga.
	Type string
	// Version tells apart definitions of one type. New sagas get the highest one a runner knows. At least 1.
	Version int
	// Deadline is how long a saga may take to its pivot before it is compensated. 0 means 15 s.
	Deadline time.Duration
	// Steps are done in order. Exactly one is the pivot.
	Steps []Step
}

// Step is one step: either Do, a call, or Batch, writes in the saga's own database.
type Step struct {
	// Name is unique in the definition. It is part of the idempotency key.
	Name string
	// Do calls a participant. It may be called again with the same [Run.Key], by another process too.
	Do func(ctx context.Context, r *Run) error
	// Batch queues writes that are done exactly once, in one transaction with the note that they are done.
	// It may be called again after an error, so it only queues. To refuse, queue a select of
	// souk_saga_require(holds boolean, code text, message text): a callback of the batch comes too late.
	Batch func(r *Run, b *pgx.Batch) error
	// Undo takes back Do, or makes sure that it will never happen. Nil: there is nothing to take back.
	// Steps after the pivot have none. The pivot may have one if it is a Do: it is called after a refusal alone.
	Undo func(ctx context.Context, r *Run) error
	// UndoBatch takes back Batch, once, in one transaction with the note that it is done.
	UndoBatch func(r *Run, b *pgx.Batch) error
	// Written is called after the commit of Batch or UndoBatch, by the process that wrote it; when the commit's answer
	// was lost, perhaps not at all. It must not wait. Nil: nobody is told.
	Written func()
	// Timeout bounds one try of Do or Undo. 0 means the runner's StepTimeout.
	Timeout time.Duration
	// Pivot marks the step after which the saga only goes forward.
	Pivot bool
	// Prompt marks a step right behind the pivot, or behind another such step, that is tried before Execute answers,
	// once: whoever is told that the saga is confirmed sees its effect, unless it fails at first.
	Prompt bool
}

const defaultDeadline = 15 * time.Second

// validate says all that is wrong with d.
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

// Failpoints returns the names of d's failpoints: each window between two effects, in the order in which a
// saga meets them. They are armed with pkg/failpoint, in tests and through SOUK_FAILPOINTS.
func Failpoints(d Definition) []string {
	p := newPlan(d)
	names := []string{p.started, p.claimed}
	for i, s := range p.steps {
		if i == p.called {
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
	for _, w := range []window{p.release, p.park, p.end} {
		names = append(names, w.before, w.after)
	}
	return names
}

// plan is a definition with all that can be worked out once.
type plan struct {
	Definition
	steps []planStep
	pivot int

	started, claimed                             string
	checkpoint, compensating, release, park, end window
	// called is the pivot's index when it is a Do: a checkpoint comes before it.
	called int
}

type planStep struct {
	Step
	beforeDo, afterDo, beforeUndo, afterUndo string
	spanDo, spanUndo                         string
}

type window struct{ before, after string }

func newPlan(d Definition) *plan {
	if d.Deadline <= 0 {
		d.Deadline = defaultDeadline
	}
	w := func(name string) window { return window{d.Type + ".before_" + name, d.Type + ".after_" + name} }
	p := &plan{
		Definition: d, called: -1,
		started: d.Type + ".after_start", claimed: d.Type + ".after_claim",
		checkpoint: w("checkpoint"), compensating: w("compensating"), release: w("release"), park: w("park"), end: w("end"),
	}
	for i, s := range d.Steps {
		if s.Pivot {
			p.pivot = i
			if s.Do != nil {
				p.called = i
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

// undoable returns the highest step at or below n that has something to undo; -1: none.
func (p *plan) undoable(n int) int {
	for n = min(n, len(p.steps)-1); n >= 0; n-- {
		if p.steps[n].Undo != nil || p.steps[n].UndoBatch != nil {
			break
		}
	}
	return n
}
