package saga_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/postgres"
	"souk/pkg/saga"
	"souk/pkg/waittest"
)

func TestSagaWithoutFailuresIsDone(t *testing.T) {
	t.Parallel()
	h := setup(t, "done")
	o := h.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State)
	require.Nil(t, o.Err)
	var authorized string
	require.NoError(t, o.Get("authorize", &authorized))
	require.Equal(t, "done authorize", authorized)
	require.Error(t, o.Get("capture", &authorized), "capture comes after the outcome")

	s := h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1")
	require.Equal(t, int64(1), s.Epoch)
	var names []string
	for _, step := range s.Steps {
		require.Equal(t, "do", step.Kind)
		require.Equal(t, "done", step.State)
		require.Equal(t, "s1/"+step.Name, step.Key)
		names = append(names, step.Name)
	}
	require.Equal(t, []string{"reserve", "note", "redeem", "authorize", "confirm", "capture", "commit"}, names)
	require.Equal(t, 1, h.services.called("do", "reserve"))
	require.InDelta(t, 1, h.metric(t, "saga_ended_total"), 0)
}

func TestRefusalUpToThePivotIsCompensated(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"reserve", "redeem", "authorize", "confirm"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			h := setup(t, "refused_"+step)
			o := h.execute(t, "s1", input{Refuse: step})
			require.Equal(t, saga.Compensated, o.State)
			want := errs.OutOfStock
			if step == "confirm" {
				want = errs.Conflict
			}
			require.Equal(t, want, o.Err.Code)
			h.verify(t, "s1")

			waited, err := h.runner.Wait(t.Context(), "s1")
			require.NoError(t, err)
			require.Equal(t, saga.Compensated, waited.State)
			require.Equal(t, o.Err.Code, waited.Err.Code)
			require.Equal(t, o.Err.Message, waited.Err.Message)
			require.Equal(t, o.Err.RetryAfter, waited.Err.RetryAfter)
			require.Equal(t, o.Err.Fields, waited.Err.Fields)
		})
	}
}

// The outcome of a timeout is unknown. The step is called again with the same key and takes effect once.
func TestTimedOutStepIsRetriedWithTheSameKey(t *testing.T) {
	t.Parallel()
	h := setup(t, "timeout")
	var lost atomic.Int32
	h.services.misbehave(nil, func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "authorize" && lost.Add(1) <= 2 {
			return errs.New(errs.Timeout, "no answer")
		}
		return nil
	})
	require.Equal(t, saga.Confirmed, h.execute(t, "s1", input{}).State)
	s := h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1")
	require.Equal(t, 3, h.services.called("do", "authorize"))
	require.Len(t, h.services.keys["authorize"], 1)
	require.Equal(t, int64(1), s.Epoch)
}

// After the deadline, the step with the unknown outcome is undone, too: it took effect although its answer was lost.
func TestDeadlineCompensatesAStepWithUnknownOutcome(t *testing.T) {
	t.Parallel()
	h := setup(t, "deadline")
	h.services.misbehave(nil, func(_ context.Context, kind, step string, _ *saga.Run) error {
		if kind == "do" && step == "redeem" {
			saga.ExpireDeadline(h.runner, "s1")
			return errs.New(errs.Timeout, "no answer")
		}
		return nil
	})
	o := h.execute(t, "s1", input{})
	require.Equal(t, saga.Compensated, o.State)
	require.Equal(t, errs.Unavailable, o.Err.Code)
	require.Positive(t, o.Err.RetryAfter)
	h.verify(t, "s1")
	var state string
	require.NoError(t,
		h.pool.QueryRow(t.Context(), `select state from participant_op where idem_key = 's1/redeem'`).Scan(&state))
	require.Equal(t, "undone", state)
}

// After its pivot, a saga is not compensated: a step whose participant is down is retried until it is back.
func TestSagaOnlyGoesForwardAfterItsPivot(t *testing.T) {
	t.Parallel()
	h := setup(t, "forward", func(_ *harness, o *saga.Options) {
		o.MaxAttempts = 1000
		o.MaxBackoff = 600 * time.Millisecond // longer than a worker waits: the saga is released and claimed again
	})
	var attempts atomic.Int32
	h.services.misbehave(func(ctx context.Context, _, step string, _ *saga.Run) error {
		if step == "capture" && attempts.Add(1) <= 9 {
			saga.ExpireDeadline(h.runner, "s1")
			return errors.Join(unavailable(), h.expireDeadline(ctx, "s1"))
		}
		return nil
	}, nil)
	require.Equal(t, saga.Confirmed, h.execute(t, "s1", input{}).State)
	s := h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1")
	require.Greater(t, s.Epoch, int64(1), "it was released in between")
	require.Equal(t, 1, h.services.called("do", "authorize"), "a step before a checkpoint is not repeated")
}

func TestParkedSagaCanBeResumed(t *testing.T) {
	t.Parallel()
	h := setup(t, "parked")
	var broken atomic.Bool
	broken.Store(true)
	for name, failure := range map[string]error{
		"refused": errs.New(errs.Unprocessable, "no"), "broken": errors.New("a bug"),
	} {
		broken.Store(true)
		h.services.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
			if step == "capture" && broken.Load() {
				return failure
			}
			return nil
		}, nil)
		require.Equal(t, saga.Confirmed, h.execute(t, name, input{}).State)
		s := h.waitState(t, name, saga.Parked)
		require.Equal(t, saga.Running, s.ParkedFrom)
		require.NotEmpty(t, s.LastError)
		require.InDelta(t, 1, h.metric(t, "saga_parked"), 0)
		o, err := h.runner.Wait(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, saga.Confirmed, o.State, "its caller got this outcome before")

		list, err := saga.List(t.Context(), h.pool, saga.Filter{State: saga.Parked, Type: "parked"})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, name, list[0].ID)

		broken.Store(false)
		require.NoError(t, saga.Resume(t.Context(), h.pool, name))
		s = h.waitState(t, name, saga.Done)
		require.Empty(t, s.Code)
		h.verify(t, name)
		require.True(t, errs.Is(saga.Resume(t.Context(), h.pool, name), errs.Conflict))
		eventually(t, func(context.Context) error {
			if h.metric(t, "saga_parked") != 0 {
				return errors.New("still counted as parked")
			}
			return nil
		})
	}
	require.True(t, errs.Is(saga.Resume(t.Context(), h.pool, "none"), errs.NotFound))
}

// A step whose participant is unavailable is retried without limit. The saga is not parked.
func TestOutageDoesNotParkASaga(t *testing.T) {
	t.Parallel()
	h := setup(t, "outage") // would be parked after 5 internal errors
	var attempts atomic.Int32
	h.services.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "capture" && attempts.Add(1) <= 12 {
			return unavailable()
		}
		return nil
	}, nil)
	require.Equal(t, saga.Confirmed, h.execute(t, "s1", input{}).State)
	h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1")
	require.EqualValues(t, 13, attempts.Load())
}

// An undo that fails is retried, then its saga is parked. After Resume it goes on with that undo.
func TestFailingUndoIsRetriedAndParked(t *testing.T) {
	t.Parallel()
	h := setup(t, "undo")
	var attempts atomic.Int32
	h.services.misbehave(func(_ context.Context, kind, step string, _ *saga.Run) error {
		if kind == "undo" && step == "redeem" && attempts.Add(1) <= 6 {
			return errors.New("a bug")
		}
		return nil
	}, nil)
	o := h.execute(t, "s1", input{Refuse: "authorize"})
	require.Equal(t, saga.Parked, o.State)
	require.Equal(t, errs.OutOfStock, o.Err.Code)
	s := h.waitState(t, "s1", saga.Parked)
	require.Equal(t, saga.Compensating, s.ParkedFrom)
	require.NoError(t, saga.Resume(t.Context(), h.pool, "s1"))
	h.waitState(t, "s1", saga.Compensated)
	h.verify(t, "s1")
	o, err := h.runner.Wait(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, errs.OutOfStock, o.Err.Code)
}

func TestSagaGoesOnWhenItsCallerLeaves(t *testing.T) {
	t.Parallel()
	h := setup(t, "leaves")
	gate := newGate(1)
	h.services.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "redeem" {
			gate.enter(t)
		}
		return nil
	}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, h.begin(ctx, h.runner, "s1", input{}))
	failed := make(chan error, 1)
	go func() {
		_, err := h.runner.Execute(ctx, "s1")
		failed <- err
	}()
	waittest.Receive(t, gate.arrived)
	cancel()
	require.True(t, errs.Is(waittest.Receive(t, failed), errs.Timeout))
	gate.open()
	h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1")
}

// A panic in a step is an internal error of that step and does not end the process.
func TestPanickingStepIsRetried(t *testing.T) {
	t.Parallel()
	h := setup(t, "panic")
	var once atomic.Bool
	h.services.misbehave(nil, func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "redeem" && once.CompareAndSwap(false, true) {
			panic("boom")
		}
		return nil
	})
	require.Equal(t, saga.Confirmed, h.execute(t, "s1", input{}).State)
	h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1")
}

func TestSagaOfUnknownVersionIsReportedAndNotClaimed(t *testing.T) {
	t.Parallel()
	h := setup(t, "version")
	_, err := h.pool.Exec(
		t.Context(),
		`insert into saga (id, type, def_version, input, state, epoch, owner, lease_until, next_run_at, deadline)
		values ('old', 'version', 7, '{}', 'running', 1, '', now() - interval '1 hour', now(), now() - interval '1 hour')`,
	)
	require.NoError(t, err)
	eventually(t, func(context.Context) error {
		if h.metric(t, "saga_unknown") != 1 {
			return errors.New("not reported")
		}
		return nil
	})
	s, err := saga.Show(t.Context(), h.pool, "old")
	require.NoError(t, err)
	require.Equal(t, saga.Running, s.State)
	require.Equal(t, int64(1), s.Epoch)

	// A runner that knows the version claims it.
	h.def.Version = 7
	_, err = h.pool.Exec(t.Context(), `insert into orders (id, status) values ('old', 'pending')`)
	require.NoError(t, err)
	h.start(t)
	h.waitState(t, "old", saga.Compensated)
	h.verify(t, "old")
}

func TestPivotMayBeACall(t *testing.T) {
	t.Parallel()
	h := setup(t, "remote", func(h *harness, o *saga.Options) {
		h.def = h.services.remote("remote")
		o.MaxAttempts = 1000
	})
	// Once the pivot may have been called, the deadline no longer applies.
	var attempts atomic.Int32
	h.services.misbehave(nil, func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "confirm" && attempts.Add(1) <= 12 {
			saga.ExpireDeadline(h.runner, "s1")
			return errs.New(errs.Timeout, "no answer")
		}
		return nil
	})
	require.Equal(t, saga.Confirmed, h.execute(t, "s1", input{}).State)
	h.waitState(t, "s1", saga.Done)
	// A refusal compensates the saga, and the undo leaves a tombstone for a call that may still arrive.
	o := h.execute(t, "s2", input{Refuse: "confirm"})
	require.Equal(t, saga.Compensated, o.State)
	require.Equal(t, 1, h.services.called("undo", "confirm"))
	h.verify(t, "s1", "s2")
}

func TestSagaIsStartedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t, "once")
	h.execute(t, "s1", input{})
	err := h.begin(t.Context(), h.runner, "s1", input{})
	require.True(t, postgres.IsUnique(err, ""), "%v", err)
	o, err := h.runner.Execute(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, saga.Confirmed, o.State)
	h.waitState(t, "s1", saga.Done)
	h.verify(t, "s1")

	_, err = h.runner.Execute(t.Context(), "none")
	require.True(t, errs.Is(err, errs.NotFound))
	require.True(t, errs.Is(h.runner.Start(t.Context(), &pgx.Batch{}, "nothing", "x", nil), errs.Internal))
}

func TestDetachedSagaRunsInTheBackground(t *testing.T) {
	t.Parallel()
	h := setup(t, "detach")
	require.NoError(t, h.begin(t.Context(), h.runner, "s1", input{}))
	h.runner.Detach("s1")
	s := h.waitState(t, "s1", saga.Done)
	require.Equal(t, int64(1), s.Epoch)
	h.verify(t, "s1")
}

// A runner that stops waits for sagas with callers and releases the others for the next runner.
func TestStoppingRunnerReleasesItsSagas(t *testing.T) {
	t.Parallel()
	h := setup(t, "stop")
	r, err := saga.NewRunner(h.pool, saga.Options{Definitions: []saga.Definition{h.def}, Lease: time.Hour})
	require.NoError(t, err)
	stop := run(t, r)
	eventually(t, r.Ready)
	gate := newGate(2)
	h.services.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "redeem" {
			gate.enter(t)
		}
		return nil
	}, nil)
	require.NoError(t, h.begin(t.Context(), r, "background", input{}))
	require.NoError(t, h.begin(t.Context(), r, "caller", input{}))
	r.Detach("background")
	out := make(chan saga.Outcome, 1)
	go func() {
		o, _ := r.Execute(t.Context(), "caller")
		out <- o
	}()
	waittest.Receive(t, gate.arrived)
	waittest.Receive(t, gate.arrived)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	eventually(t, func(ctx context.Context) error {
		if r.Ready(ctx) == nil {
			return errors.New("still ready")
		}
		return nil
	})
	require.True(t, errs.Is(h.begin(t.Context(), r, "late", input{}), errs.Unavailable))
	gate.open()
	require.Equal(t, saga.Confirmed, waittest.Receive(t, out).State)
	waittest.Receive(t, stopped)
	// The leases of an hour were given up, so the other runner goes on.
	h.waitState(t, "background", saga.Done)
	h.waitState(t, "caller", saga.Done)
	h.verify(t, "background", "caller")
	require.Error(t, r.Run(t.Context()), "a runner runs once")
}

func TestSagasBeyondTheQueueAreClaimedLater(t *testing.T) {
	t.Parallel()
	h := setup(t, "full", func(_ *harness, o *saga.Options) { o.Workers, o.Queue, o.Lease = 1, 1, shortLease })
	ids := []string{"s1", "s2", "s3", "s4", "s5", "s6"}
	for _, id := range ids {
		require.Equal(t, saga.Confirmed, h.execute(t, id, input{}).State)
	}
	for _, id := range ids {
		h.waitState(t, id, saga.Done)
	}
	h.verify(t, ids...)
}
