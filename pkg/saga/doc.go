// Package saga runs sagas: a few steps in several services that happen all or not at all, whatever dies on the way.
//
// A [Definition] lists the steps. One of them is the pivot: steps before it can be undone, steps after
// it only go forward. A [Runner] starts sagas, runs them, and takes over those whose owner is gone. The
// state is in PostgreSQL, in the database of the service that owns the saga.
//
// # What holds
//
//   - A saga ends as done or compensated, or is parked for an operator to see. None is dropped.
//   - One runner at a time owns a saga: it holds a lease in database time, and everything it writes
//     names its epoch. A runner that lost its lease without noticing is refused at its next write.
//   - A timeout is unknown, never failure. The step is sent again with the same key, or, past the
//     deadline, undone together with the steps before it.
//   - Progress is written where it matters: at the start, with every [Step].Batch, before a pivot that is a call, before
//     compensation, at the end, when waiting long, and when parking. Whoever takes over does the steps since then again.
//
// # What participants owe
//
// A step's Do and Undo are calls to services that may get them twice, late, and in the wrong order. A participant
// keeps, in the transaction of its effect, one row for each key ([Run.Key]) with the answer:
//
//   - a second Do with the same key gets the first one's answer, a refusal included;
//   - an Undo of what is done takes it back, once;
//   - an Undo of what never arrived leaves a tombstone, and succeeds;
//   - a Do that meets a tombstone, or what was undone, is refused and has no effect.
//
// Undo gets the key of its Do. Without tombstones a call that was delayed past its own Undo would stay in effect.
//
// # What an error means
//
// An error whose outcome is open (see [errs.Unknown]) is tried again. Any other code is a refusal: before the pivot the saga is
// compensated, the refused step included; after it, and in an Undo, the saga is parked at once.
//
// # Speed
//
// A saga without trouble costs its start (one row in the caller's own batch), one batch at the pivot, and its share of a
// write that ends many. Batches of sagas that reach the pivot at the same time travel together.
package saga
