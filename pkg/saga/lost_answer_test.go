package saga_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/failpoint"
	"souk/pkg/saga"
)

// TestPivotWhoseAnswerIsLostUntilTheDeadline: the pivot was done, its answer is lost, and the deadline passes before it
// is asked again. What was confirmed is not taken back.
func TestPivotWhoseAnswerIsLostUntilTheDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t, "lostlate", func(b *bundle, _ *saga.Options) { b.def.Deadline = 500 * time.Millisecond })
	var lost atomic.Bool
	t.Cleanup(failpoint.Enable("lostlate.after_confirm", failpoint.Call(func(context.Context) error {
		if lost.Swap(true) {
			return nil
		}
		<-time.After(600 * time.Millisecond)
		return unavailable()
	})))
	o := b.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State, "%v", o.Err)
	b.until(t, "s1", saga.Done)
	b.verify(t, "s1")
}

// TestPivotWhoseAnswerIsLostWhileStopping: the same, and the process lets go of the saga before it knows.
func TestPivotWhoseAnswerIsLostWhileStopping(t *testing.T) {
	t.Parallel()
	b := setup(t, "loststop")
	r, err := saga.NewRunner(b.pool, saga.Options{
		Definitions: []saga.Definition{b.def}, Lease: testLease, Poll: 50 * time.Millisecond,
		MinBackoff: 100 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
	})
	require.NoError(t, err)
	stop, stopped := run(t, r), make(chan struct{})
	var lost atomic.Bool
	t.Cleanup(failpoint.Enable("loststop.after_confirm", failpoint.Call(func(context.Context) error {
		if lost.Swap(true) {
			return nil
		}
		go func() {
			stop()
			close(stopped)
		}()
		<-time.After(100 * time.Millisecond)
		return unavailable()
	})))
	require.NoError(t, b.begin(t.Context(), r, "s1", input{}))
	r.Detach("s1")
	<-stopped
	require.Equal(t, saga.Done, b.until(t, "s1", saga.Done, saga.Compensated, saga.Parked).State)
	b.verify(t, "s1")
}
