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
)

// deaf is a runner that cannot renew its leases, as one that was stopped with SIGSTOP: it does not know what
// goes on meanwhile, and when it wakes it goes on with what it was about to do.
func (b *bundle) deaf(t *testing.T) *saga.Runner {
	t.Helper()
	r, err := saga.NewRunner(b.pool, saga.Options{Definitions: []saga.Definition{b.def}, Lease: testLease, StepTimeout: time.Hour})
	require.NoError(t, err)
	return r // not running: nothing renews, nothing is noticed
}

// A stalled owner wakes when another one has compensated. Its late call meets the tombstone, its writes are refused.
func TestStalledOwnerMeetsTombstone(t *testing.T) {
	t.Parallel()
	b := setup(t, "stalled", func(b *bundle, _ *saga.Options) { b.def.Deadline = time.Second })
	// The first to come to authorize stalls with its request not sent yet; the second gets no answer.
	arrived, gate := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	var late atomic.Int32
	b.people.misbehave(func(_ context.Context, kind, step string, r *saga.Run) error {
		switch {
		case step == "authorize" && kind == "do" && first.CompareAndSwap(false, true):
			require.Equal(t, int64(1), r.Epoch())
			close(arrived)
			<-gate
			late.Add(1)
		case step == "redeem" && kind == "do" && r.Epoch() > 1:
			return unavailable() // the next owner does not even get to authorize
		}
		return nil
	}, nil)
	stalled := b.deaf(t)
	require.NoError(t, b.begin(t.Context(), stalled, "s1", input{}))
	type answer struct {
		o   saga.Outcome
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		o, err := stalled.Execute(context.WithoutCancel(t.Context()), "s1")
		answers <- answer{o, err}
	}()
	<-arrived
	s := b.until(t, "s1", saga.Compensated)
	require.Greater(t, s.Epoch, int64(1))
	var state string
	require.NoError(t, b.pool.QueryRow(t.Context(), `select state from participant_op where idem_key = 's1/authorize'`).Scan(&state))
	require.Equal(t, "tombstone", state, "a step that an earlier owner may be at is undone, although this one never did it")

	close(gate)
	a := <-answers
	require.NoError(t, a.err)
	require.Equal(t, saga.Compensated, a.o.State, "the stalled owner's caller learns how it really ended")
	require.Equal(t, int32(1), late.Load())
	b.verify(t, "s1")
}

// A stalled owner wakes right before its pivot, when another owner has compensated: the pivot is fenced.
func TestStalledOwnerIsFencedAtItsPivot(t *testing.T) {
	t.Parallel()
	b := setup(t, "fenced", func(b *bundle, _ *saga.Options) { b.def.Deadline = 300 * time.Millisecond })
	arrived, gate := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	t.Cleanup(failpoint.Enable("fenced.before_confirm", failpoint.Call(func(context.Context) error {
		if once.CompareAndSwap(false, true) {
			close(arrived)
			<-gate
		}
		return nil
	})))
	stalled := b.deaf(t)
	require.NoError(t, b.begin(t.Context(), stalled, "s1", input{}))
	out := make(chan saga.Outcome, 1)
	go func() {
		o, _ := stalled.Execute(context.WithoutCancel(t.Context()), "s1")
		out <- o
	}()
	<-arrived
	b.until(t, "s1", saga.Compensated)
	close(gate)
	require.Equal(t, saga.Compensated, (<-out).State)
	b.verify(t, "s1") // confirmed = 0
}

// An owner that loses its lease in the middle of a compensation changes nothing any more either.
func TestStalledOwnerIsFencedAtItsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, "fencedend")
	arrived, gate := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	t.Cleanup(failpoint.Enable("fencedend.before_end", failpoint.Call(func(context.Context) error {
		if once.CompareAndSwap(false, true) {
			close(arrived)
			<-gate
		}
		return nil
	})))
	stalled := b.deaf(t)
	require.NoError(t, b.begin(t.Context(), stalled, "s1", input{Refuse: "authorize"}))
	out := make(chan saga.Outcome, 1)
	go func() {
		o, _ := stalled.Execute(context.WithoutCancel(t.Context()), "s1")
		out <- o
	}()
	<-arrived
	before := b.until(t, "s1", saga.Compensated)
	close(gate)
	require.Equal(t, errs.OutOfStock, (<-out).Err.Code)
	after := b.until(t, "s1", saga.Compensated)
	require.Equal(t, before.UpdatedAt, after.UpdatedAt)
	b.verify(t, "s1")
}

// The answer to a pivot is lost, the pivot is not: sent again, it finds itself done.
func TestPivotWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t, "lostpivot")
	for _, fp := range []string{"lostpivot.after_confirm", "lostpivot.after_note", "lostpivot.after_undo_note", "lostpivot.after_end", "lostpivot.after_compensating"} {
		t.Cleanup(failpoint.Enable(fp, failpoint.Error(nil).Times(2)))
	}
	require.Equal(t, saga.Confirmed, b.execute(t, "s1", input{}).State)
	require.Equal(t, saga.Compensated, b.execute(t, "s2", input{Refuse: "authorize"}).State)
	b.until(t, "s1", saga.Done)
	b.verify(t, "s1", "s2")
}

// A process that carries the name of a dead one need not wait for its leases.
func TestInheritedByName(t *testing.T) {
	t.Parallel()
	b := setup(t, "inherit")
	dead, err := saga.NewRunner(b.pool, saga.Options{Definitions: []saga.Definition{b.def}, Lease: time.Hour, Owner: "pod-1"})
	require.NoError(t, err)
	require.NoError(t, b.begin(t.Context(), dead, "s1", input{}))
	b.start(t, func(_ *bundle, o *saga.Options) { o.Owner = "pod-2" })
	b.start(t, func(_ *bundle, o *saga.Options) { o.Owner = "pod-1" })
	s := b.until(t, "s1", saga.Done)
	require.Contains(t, s.Owner, "pod-1#")
	b.verify(t, "s1")
}

// Leases of sagas that take long are renewed: nobody else takes them.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	b := setup(t, "renewed")
	b.start(t) // who would take it over
	b.people.misbehave(func(ctx context.Context, _, step string, _ *saga.Run) error {
		if step == "redeem" {
			pause(ctx, 3*testLease)
		}
		return nil
	}, nil)
	require.Equal(t, saga.Confirmed, b.execute(t, "s1", input{}).State)
	require.Equal(t, int64(1), b.until(t, "s1", saga.Done).Epoch)
	require.Equal(t, 1, b.people.called("do", "redeem"))
}

// Two runners on one database, callers on both, faults everywhere: each saga happens once or not at all.
func TestTwoRunnersUnderFaults(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.ErrorLevel)
	patient := func(b *bundle, o *saga.Options) {
		b.def.Deadline = 2 * time.Second
		o.MaxAttempts = 1000
		o.Logger = zap.New(core)
		o.Workers, o.Queue = 4, 8
		o.MaxBackoff = 300 * time.Millisecond
	}
	b := setup(t, "faults", patient)
	runners := []*saga.Runner{b.runner, b.start(t, patient)}

	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any seed will do
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's dice
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
			pause(ctx, testLease*3/2)
		case 9:
			panic("boom")
		}
		return nil
	}
	b.people.misbehave(fault, fault)
	for _, fp := range saga.Failpoints(b.def) {
		t.Cleanup(failpoint.Enable(fp, failpoint.Call(func(ctx context.Context) error {
			switch roll(200) {
			case 0, 1:
				return unavailable()
			case 2: // the owner stalls beyond its lease, and does not notice
				pause(context.WithoutCancel(ctx), testLease*3/2)
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
					err := b.begin(ctx, r, id, in)
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
	close(ids)
	all := make([]string, 0, callers*each)
	for id := range ids {
		all = append(all, id)
	}
	require.Len(t, all, callers*each)
	for _, id := range all {
		b.until(t, id, saga.Done, saga.Compensated)
	}
	b.verify(t, all...)
	require.Zero(t, logs.FilterMessageSnippet("parked").Len())
}

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
