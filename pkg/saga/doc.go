// Package saga runs sagas: sequences of steps in several services that take effect either all or not at all,
// whichever process dies in between.
//
// A [Definition] lists the steps. One of them is the pivot. Steps before it can be undone; after it a saga only
// goes forward. A [Runner] starts sagas, runs them, and takes over sagas whose owner died. The state is kept in
// PostgreSQL, in the database of the service that owns the saga.
//
// # Guarantees
//
//   - A saga ends as done or compensated, or is parked for an operator. It is never dropped.
//   - One runner at a time owns a saga. It holds a lease in database time, and each of its writes names its epoch. A
//     runner that lost its lease without noticing is refused at its next write.
//   - A timeout means that the outcome is unknown, not that the step failed. The step is called again with the same key
//     or, past the deadline, undone like the steps before it.
//   - Progress is written where it matters: at the start, with every [Step].Batch, before a pivot that is a call,
//     before compensation, at the end, before a long wait, and when the saga is parked. The next owner repeats the
//     steps since the last of these writes.
//
// # What participants must do
//
// A participant may receive the calls of Do and Undo twice, late, and in the wrong order. In the transaction of its
// effect, it must store one row per key ([Run.Key]) with its answer:
//
//   - A second Do with the same key gets the first one's answer, even if that is a refusal.
//   - An Undo of a Do that took effect reverts it, once.
//   - An Undo of a Do that never arrived leaves a tombstone and succeeds.
//   - A Do that finds a tombstone, or that was undone before, is refused and has no effect.
//
// Undo has the same key as its Do. Without tombstones, a Do that arrives after its Undo would stay in effect.
//
// # Errors of steps
//
// An error whose outcome is unknown (see [errs.OutcomeUnknown]) is retried. Any other code is a refusal. Before
// the pivot, the saga is then compensated, including the refused step. After the pivot, and in an Undo, the saga
// is parked at once.
//
// # Cost
//
// A saga without failures writes to the database three times: one row in the caller's own batch at its start, a
// batch at its pivot, and its end. Batches at the pivot and ends are shared with other sagas that write at the
// same time.
package saga
