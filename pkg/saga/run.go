package saga

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"

	"souk/pkg/errs"
)

// State is the state of a saga.
type State string

// The states of a saga.
const (
	Running      State = "running"
	Compensating State = "compensating"
	Done         State = "done"
	Compensated  State = "compensated"
	Parked       State = "parked"
	// Confirmed is the outcome of a saga that has passed its pivot. It is not stored.
	Confirmed State = "confirmed"
)

// Outcome is the result of a saga for its caller.
type Outcome struct {
	ID string
	// State is Confirmed, Compensated, or Parked. A saga whose outcome is Parked was parked before its pivot.
	State State
	// Err is the reason if the saga is not Confirmed.
	Err *errs.Error

	results map[string]json.RawMessage
}

// Get reads a result that a step has Set before the outcome.
//
// Errors: internal (there is no such result).
func (o Outcome) Get(name string, into any) error { return getResult(o.results, name, into) }

// Run gives a step access to its saga. One step at a time uses it.
type Run struct {
	id      string
	epoch   int64
	input   json.RawMessage
	decoded any // the input, as passed to Start or as last decoded
	results map[string]json.RawMessage
	key     string
	ctx     context.Context //nolint:containedctx // the saga's own, which spans its steps
}

// ID returns the saga's ID.
func (r *Run) ID() string { return r.id }

// Context returns a context that carries the saga's trace. It is for Batch and UndoBatch, which get no context but
// may append events.
func (r *Run) Context() context.Context { return r.ctx }

// Key returns the step's idempotency key, "sagaID/step". It is the same for all attempts of Do and Undo, in every
// process.
func (r *Run) Key() string { return r.key }

// Epoch returns the number of the current ownership. It is 1 until another runner takes over.
func (r *Run) Epoch() int64 { return r.epoch }

// Input reads the input that the saga was started with. All steps share its contents and must not change them.
//
// Errors: internal (the input does not fit).
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

// Set stores a result for later steps. It is written with the saga's next checkpoint.
//
// Errors: internal (v cannot be marshalled).
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

// Get reads a result that an earlier step has Set. An Undo must not rely on results of its own Do, whose answer
// may never have arrived. It has the key.
//
// Errors: internal (there is no such result).
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

// snapshot returns a copy of the results, so that later steps do not change what a reader sees.
func (r *Run) snapshot() map[string]json.RawMessage { return maps.Clone(r.results) }
