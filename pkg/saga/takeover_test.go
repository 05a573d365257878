package saga_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/postgres"
	"souk/pkg/saga"
	"souk/pkg/waittest"
)

// stalledRunner returns a runner that does not run: it does not renew leases and does not notice when it loses
// them, like a process that was stopped with SIGSTOP. Its own clock says that its leases last.
func (h *harness) stalledRunner(t *testing.T) *saga.Runner {
	t.Helper()
	r, err := saga.NewRunner(h.pool,
		saga.Options{Definitions: []saga.Definition{h.def}, Lease: time.Hour, StepTimeout: time.Hour})
	require.NoError(t, err)
	return r
}

// A stalled owner goes on after another one has compensated. Its late call finds the tombstone, and its writes are
// refused.
func TestLateCallOfAStalledOwnerFindsATombstone(t *testing.T) {
	t.Parallel()
	h := setup(t, "stalled")
	gate := newGate(1) // the owner stalls before it sends its request
	var late atomic.Int32
	h.services.misbehave(func(_ context.Context, kind, step string, r *saga.Run) error {
		if step == "authorize" && kind == "do" && r.Epoch() == 1 {
			gate.enter(t)
			late.Add(1)
		}
		return nil
	}, nil)
	stalled := h.stalledRunner(t)
	require.NoError(t, h.begin(t.Context(), stalled, "s1", input{}))
	type answer struct {
		o   saga.Outcome
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		o, err := stalled.Execute(context.WithoutCancel(t.Context()), "s1")
		answers <- answer{o, err}
	}()
	waittest.Receive(t, gate.arrived)
	require.NoError(t, h.expireDeadline(t.Context(), "s1"))
	h.expireLease(t, "s1")
	s := h.waitState(t, "s1", saga.Compensated)
	require.Greater(t, s.Epoch, int64(1))
	var state string
	require.NoError(t,
		h.pool.QueryRow(t.Context(), `select state from participant_op where idem_key = 's1/authorize'`).Scan(&state))
	require.Equal(t, "tombstone", state, "a step that an earlier owner may be calling is undone")

	gate.open()
	a := waittest.Receive(t, answers)
	require.NoError(t, a.err)
	require.Equal(t, saga.Compensated, a.o.State, "the caller of the stalled owner gets the outcome")
	require.Equal(t, int32(1), late.Load())
	h.verify(t, "s1")
}

// A stalled owner goes on with its pivot after another owner has compensated. The pivot is fenced.
func TestStalledOwnerIsFencedAtItsPivot(t *testing.T) {
	t.Parallel()
	h := setup(t, "fenced")
	gate := newGate(1)
	t.Cleanup(failpoint.Enable("fenced.before_confirm", failpoint.Call(func(context.Context) error {
		gate.enter(t)
		return nil
	})))
	stalled := h.stalledRunner(t)
	require.NoError(t, h.begin(t.Context(), stalled, "s1", input{}))
	out := make(chan saga.Outcome, 1)
	go func() {
		o, _ := stalled.Execute(context.WithoutCancel(t.Context()), "s1")
		out <- o
	}()
	waittest.Receive(t, gate.arrived)
	require.NoError(t, h.expireDeadline(t.Context(), "s1"))
	h.expireLease(t, "s1")
	h.waitState(t, "s1", saga.Compensated)
	gate.open()
	require.Equal(t, saga.Compensated, waittest.Receive(t, out).State)
	h.verify(t, "s1") // confirmed = 0
}

// An owner that loses its lease during a compensation changes nothing afterwards.
func TestStalledOwnerIsFencedAtItsEnd(t *testing.T) {
	t.Parallel()
	h := setup(t, "fencedend")
	gate := newGate(1)
	t.Cleanup(failpoint.Enable("fencedend.before_end", failpoint.Call(func(context.Context) error {
		gate.enter(t)
		return nil
	})))
	stalled := h.stalledRunner(t)
	require.NoError(t, h.begin(t.Context(), stalled, "s1", input{Refuse: "authorize"}))
	out := make(chan saga.Outcome, 1)
	go func() {
		o, _ := stalled.Execute(context.WithoutCancel(t.Context()), "s1")
		out <- o
	}()
	waittest.Receive(t, gate.arrived)
	h.expireLease(t, "s1")
	before := h.waitState(t, "s1", saga.Compensated)
	gate.open()
	require.Equal(t, errs.OutOfStock, waittest.Receive(t, out).Err.Code)
	after := h.waitState(t, "s1", saga.Compensated)
	require.Equal(t, before.UpdatedAt, after.UpdatedAt)
	h.verify(t, "s1")
}

// A pivot takes effect but its answer is lost. When it is sent again, the store reports that it was done.
func TestPivotWithALostAnswerTakesEffectOnce(t *testing.T) {
	t.Parallel()
	h := setup(t, "lostpivot")
	for _, fp := range []string{
		"lostpivot.after_confirm", "lostpivot.after_note", "lostpivot.after_undo_note", "lostpivot.after_end",
		"lostpivot.after_compensating",
	} {
		t.Cleanup(failpoint.Enable(fp, failpoint.Error(nil).Times(2)))
	}
	require.Equal(t, saga.Confirmed, h.execute(t, "s1", input{}).State)
	require.Equal(t, saga.Compensated, h.execute(t, "s2", input{Refuse: "authorize"}).State)
	h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1", "s2")
}

// A process with the name of a dead one does not wait for its leases.
func TestSagasOfTheSameOwnerAreClaimedAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t, "inherit")
	dead, err := saga.NewRunner(h.pool,
		saga.Options{Definitions: []saga.Definition{h.def}, Lease: time.Hour, Owner: "pod-1"})
	require.NoError(t, err)
	require.NoError(t, h.begin(t.Context(), dead, "s1", input{}))
	h.start(t, func(_ *harness, o *saga.Options) { o.Owner = "pod-2" })
	h.start(t, func(_ *harness, o *saga.Options) { o.Owner = "pod-1" })
	s := h.waitState(t, "s1", saga.Done)
	require.Contains(t, s.Owner, "pod-1#")
	h.verify(t, "s1")
}

// The lease of a saga that takes long is renewed, so no other runner claims it.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	options := func(_ *harness, o *saga.Options) { o.Lease, o.StepTimeout = 5*time.Second, timeout }
	h := setup(t, "renewed", options)
	h.start(t, options) // would take the saga over
	h.services.misbehave(func(ctx context.Context, _, step string, r *saga.Run) error {
		if step == "redeem" {
			return h.waitRenewed(ctx, r.ID())
		}
		return nil
	}, nil)
	require.Equal(t, saga.Confirmed, h.execute(t, "s1", input{}).State)
	require.Equal(t, int64(1), h.waitState(t, "s1", saga.Done).Epoch)
	require.Equal(t, 1, h.services.called("do", "redeem"))
}

// waitRenewed waits until the saga's lease is renewed.
func (h *harness) waitRenewed(ctx context.Context, id string) error {
	var first, until time.Time
	for {
		if err := h.pool.QueryRow(ctx, `select lease_until from saga where id = $1`, id).Scan(&until); err != nil {
			return err
		}
		if first.IsZero() {
			first = until
		}
		if until.After(first) {
			return nil
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// Two runners share a database, with callers on both and random faults. Each saga takes effect once or not at all.
func TestTwoRunnersUnderFaults(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.ErrorLevel)
	options := func(h *harness, o *saga.Options) {
		h.def.Deadline = 2 * time.Second
		o.MaxAttempts = 1000
		o.Logger = zap.New(core)
		o.Workers, o.Queue, o.Lease = 4, 8, shortLease
		o.MaxBackoff = 300 * time.Millisecond
	}
	h := setup(t, "faults", options)
	runners := []*saga.Runner{h.runner, h.start(t, options)}

	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any seed is valid
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // not a secret
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return dice.IntN(n)
	}
	fault := func(ctx context.Context, _, _ string, _ *saga.Run) error {
		switch roll(100) {
		case 0, 1, 2, 3, 4:
			return unavailable()
		case 5, 6, 7:
			return errs.New(errs.Timeout, "no answer")
		case 8:
			pause(ctx, shortLease*3/2)
		case 9:
			panic("boom")
		}
		return nil
	}
	h.services.misbehave(fault, fault)
	for _, fp := range saga.Failpoints(h.def) {
		t.Cleanup(failpoint.Enable(fp, failpoint.Call(func(ctx context.Context) error {
			switch roll(200) {
			case 0, 1:
				return unavailable()
			case 2: // the owner stalls longer than its lease without noticing
				pause(context.WithoutCancel(ctx), shortLease*3/2)
			}
			return nil
		})))
	}

	const callers, each = 8, 12
	ids := make(chan string, callers*each)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("s%d-%d", c, i)
				in := input{Refuse: []string{"", "", "", "authorize", "redeem", "confirm"}[roll(6)]}
				r := runners[roll(2)]
				if !keepTrying(t, func(ctx context.Context) error {
					err := h.begin(ctx, r, id, in)
					if postgres.IsUnique(err, "") {
						return nil
					}
					return err
				}) {
					return
				}
				ids <- id
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+roll(3000))*time.Millisecond)
				o, err := runners[roll(2)].Execute(ctx, id)
				cancel()
				switch {
				case err != nil:
					require.Equal(t, errs.Timeout, errs.CodeOf(err))
				case o.State == saga.Confirmed:
					require.Empty(t, in.Refuse)
				}
			}
		})
	}
	wg.Wait()
	all := make([]string, len(ids))
	for i := range all {
		all[i] = waittest.Receive(t, ids)
	}
	require.Len(t, all, callers*each)
	for _, id := range all {
		h.waitState(t, id, saga.Done, saga.Compensated)
	}
	h.verify(t, all...)
	require.Zero(t, logs.FilterMessageSnippet("parked").Len())
}

// keepTrying calls f until it succeeds, at most 100 times.
func keepTrying(t *testing.T, f func(ctx context.Context) error) bool {
	t.Helper()
	for range 100 {
		if f(t.Context()) == nil {
			return true
		}
		pause(t.Context(), 10*time.Millisecond)
	}
	t.Error("gave up")
	return false
}
