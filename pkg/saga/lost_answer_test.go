package saga_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/failpoint"
	"souk/pkg/saga"
	"souk/pkg/waittest"
)

// The pivot takes effect, its answer is lost, and the deadline passes before the next attempt. The saga is not
// compensated.
func TestPivotWithALostAnswerIsNotUndoneAfterTheDeadline(t *testing.T) {
	t.Parallel()
	h := setup(t, "lostlate")
	var once atomic.Bool
	lost := make(chan struct{})
	t.Cleanup(failpoint.Enable("lostlate.after_confirm", failpoint.Call(func(context.Context) error {
		if once.Swap(true) {
			return nil
		}
		close(lost)
		saga.ExpireDeadline(h.runner, "s1")
		return unavailable()
	})))
	require.NoError(t, h.begin(t.Context(), h.runner, "s1", input{}))
	h.runner.Detach("s1")
	waittest.Receive(t, lost)
	eventually(t, func(context.Context) error {
		if h.metric(t, "saga_running") != 0 {
			return errors.New("the saga is not abandoned")
		}
		return nil
	})
	h.expireLease(t, "s1")
	require.Equal(t, saga.Done, h.waitState(t, "s1", saga.Done, saga.Compensated, saga.Parked).State)
	h.verify(t, "s1")
}

// The pivot takes effect, its answer is lost, and the runner stops before the next attempt.
func TestPivotWithALostAnswerIsNotUndoneAfterAStop(t *testing.T) {
	t.Parallel()
	h := setup(t, "loststop")
	r, err := saga.NewRunner(h.pool, saga.Options{
		Definitions: []saga.Definition{h.def}, Lease: lease, Poll: poll,
		MinBackoff: 100 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
	})
	require.NoError(t, err)
	stop, stopped := run(t, r), make(chan struct{})
	eventually(t, r.Ready)
	var once atomic.Bool
	t.Cleanup(failpoint.Enable("loststop.after_confirm", failpoint.Call(func(ctx context.Context) error {
		if once.Swap(true) {
			return nil
		}
		go func() {
			stop()
			close(stopped)
		}()
		for ctx.Err() == nil && r.Ready(ctx) == nil { // until the runner drains
			pause(ctx, time.Millisecond)
		}
		return unavailable()
	})))
	require.NoError(t, h.begin(t.Context(), r, "s1", input{}))
	r.Detach("s1")
	waittest.Receive(t, stopped)
	h.expireLease(t, "s1")
	require.Equal(t, saga.Done, h.waitState(t, "s1", saga.Done, saga.Compensated, saga.Parked).State)
	h.verify(t, "s1")
}
