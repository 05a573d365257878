package saga

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"

	"souk/pkg/errs"
)

// State is where a saga stands.
type State string

// The states of a saga.
const (
	Running      State = "running"
	Compensating State = "compensating"
	Done         State = "done"
	Compensated  State = "compensated"
	Parked       State = "parked"
	// Confirmed is not stored: it is the outcome of a saga that has its pivot behind it.
	Confirmed State = "confirmed"
)

// Outcome is what a caller wants to know about a saga.
type Outcome struct {
	ID string
	// State is Confirmed, Compensated, or Parked (before the pivot: a step cannot be undone).
	State State
	// Err is why it is not Confirmed.
	Err *errs.Error

	results map[string]json.RawMessage
}

// Get reads a result that a step has Set before the outcome. It fails with errs.Internal when there is none.
func (o Outcome) Get(name string, into any) error { return getResult(o.results, name, into) }

// Run is one saga as its steps see it. It is used by one step at a time.
type Run struct {
	id      string
	epoch   int64
	input   json.RawMessage
	decoded any // the input as it was last read, or as the saga was started with
	results map[string]json.RawMessage
	key     string
	ctx     context.Context //nolint:containedctx // the saga's own, which spans its steps
}

// ID returns the saga's ID.
func (r *Run) ID() string { return r.id }

// Context returns a context that carries the saga's trace. It is for Batch and UndoBatch, which have none of their own but
// may tell events.
func (r *Run) Context() context.Context { return r.ctx }

// Key returns the step's idempotency key, "sagaID/step": the same at every try, in every process, for Do and Undo.
func (r *Run) Key() string { return r.key }

// Epoch returns how often the saga has changed hands; 1: it is with the runner that started it.
func (r *Run) Epoch() int64 { return r.epoch }

// Input reads what the saga was started with. What it holds is shared by all steps, which must not change it. It
// fails with errs.Internal.
func (r *Run) Input(into any) error {
	to := reflect.ValueOf(into).Elem()
	if known := reflect.ValueOf(r.decoded); known.IsValid() && known.Type() == to.Type() {
		to.Set(known)
		return nil
	}
	if err := json.Unmarshal(r.input, into); err != nil {
		return errs.Wrap(err, errs.Internal, "the saga's input cannot be read")
	}
	r.decoded = to.Interface()
	return nil
}

// Set keeps a result for later steps. It is stored with the saga's next checkpoint. It fails with errs.Internal.
func (r *Run) Set(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return errs.Wrap(err, errs.Internal, "the saga's result %s cannot be kept", name)
	}
	if r.results == nil {
		r.results = map[string]json.RawMessage{}
	}
	r.results[name] = b
	return nil
}

// Get reads a result that an earlier step has Set. It fails with errs.Internal when there is none.
//
// An Undo cannot count on the results of its own Do, whose answer may never have arrived: the key has to do.
func (r *Run) Get(name string, into any) error { return getResult(r.results, name, into) }

func getResult(results map[string]json.RawMessage, name string, into any) error {
	b, ok := results[name]
	if !ok {
		return errs.New(errs.Internal, "the saga has no result %s", name)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return errs.Wrap(err, errs.Internal, "the saga's result %s cannot be read", name)
	}
	return nil
}

// snapshot returns the results as they are now, for a reader that the next steps must not disturb.
func (r *Run) snapshot() map[string]json.RawMessage { return maps.Clone(r.results) }
