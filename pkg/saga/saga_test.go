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
)

func TestDone(t *testing.T) {
	t.Parallel()
	b := setup(t, "done")
	o := b.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State)
	require.Nil(t, o.Err)
	var authorized string
	require.NoError(t, o.Get("authorize", &authorized))
	require.Equal(t, "done authorize", authorized)
	require.Error(t, o.Get("capture", &authorized), "capture comes after the outcome")

	s := b.until(t, "s1", saga.Done)
	b.verify(t, "s1")
	require.Equal(t, int64(1), s.Epoch)
	var names []string
	for _, step := range s.Steps {
		require.Equal(t, "do", step.Kind)
		require.Equal(t, "done", step.State)
		require.Equal(t, "s1/"+step.Name, step.Key)
		names = append(names, step.Name)
	}
	require.Equal(t, []string{"reserve", "note", "redeem", "authorize", "confirm", "capture", "commit"}, names)
	require.Equal(t, 1, b.people.called("do", "reserve"))
	require.InDelta(t, 1, b.metric(t, "saga_ended_total"), 0)
}

func TestRefusedIsCompensated(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"reserve", "redeem", "authorize", "confirm"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "refused_"+step)
			o := b.execute(t, "s1", input{Refuse: step})
			require.Equal(t, saga.Compensated, o.State)
			want := errs.OutOfStock
			if step == "confirm" {
				want = errs.Conflict
			}
			require.Equal(t, want, o.Err.Code)
			b.verify(t, "s1")

			waited, err := b.runner.Wait(t.Context(), "s1")
			require.NoError(t, err)
			require.Equal(t, saga.Compensated, waited.State)
			require.Equal(t, o.Err.Code, waited.Err.Code)
			require.Equal(t, o.Err.Message, waited.Err.Message)
			require.Equal(t, o.Err.RetryAfter, waited.Err.RetryAfter)
			require.Equal(t, o.Err.Fields, waited.Err.Fields)
		})
	}
}

// A timeout says nothing: the effect may be there. The same key is sent again, and there is one effect.
func TestTimeoutIsSentAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, "timeout")
	var lost atomic.Int32
	b.people.misbehave(nil, func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "authorize" && lost.Add(1) <= 2 {
			return errs.New(errs.Timeout, "no answer")
		}
		return nil
	})
	require.Equal(t, saga.Confirmed, b.execute(t, "s1", input{}).State)
	s := b.until(t, "s1", saga.Done)
	b.verify(t, "s1")
	require.Equal(t, 3, b.people.called("do", "authorize"))
	require.Len(t, b.people.keys["authorize"], 1)
	require.Equal(t, int64(1), s.Epoch)
}

// Past the deadline the step in doubt is undone too: its effect is there although its answer never came.
func TestDeadlineCompensatesTheStepInDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t, "deadline", func(b *bundle, _ *saga.Options) { b.def.Deadline = 300 * time.Millisecond })
	b.people.misbehave(nil, func(_ context.Context, kind, step string, _ *saga.Run) error {
		if kind == "do" && step == "redeem" {
			return errs.New(errs.Timeout, "no answer")
		}
		return nil
	})
	o := b.execute(t, "s1", input{})
	require.Equal(t, saga.Compensated, o.State)
	require.Equal(t, errs.Unavailable, o.Err.Code)
	require.Positive(t, o.Err.RetryAfter)
	b.verify(t, "s1")
	var state string
	require.NoError(t, b.pool.QueryRow(t.Context(), `select state from participant_op where idem_key = 's1/redeem'`).Scan(&state))
	require.Equal(t, "undone", state)
}

// After the pivot nothing turns the saga round: a participant that is down is tried until it is back.
func TestAfterPivotOnlyForward(t *testing.T) {
	t.Parallel()
	b := setup(t, "forward", func(b *bundle, o *saga.Options) {
		b.def.Deadline = 200 * time.Millisecond
		o.MaxAttempts = 1000
		o.MaxBackoff = 600 * time.Millisecond // beyond what a worker sits out: the saga is released and claimed again
	})
	var tries atomic.Int32
	b.people.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "capture" && tries.Add(1) <= 9 {
			return unavailable()
		}
		return nil
	}, nil)
	require.Equal(t, saga.Confirmed, b.execute(t, "s1", input{}).State)
	s := b.until(t, "s1", saga.Done)
	b.verify(t, "s1")
	require.Greater(t, s.Epoch, int64(1), "it was released in between")
	require.Equal(t, 1, b.people.called("do", "authorize"), "what is behind a checkpoint is not done again")
}

func TestParkedAndResumed(t *testing.T) {
	t.Parallel()
	b := setup(t, "parked")
	var broken atomic.Bool
	broken.Store(true)
	for name, failure := range map[string]error{"refused": errs.New(errs.Unprocessable, "no"), "broken": errors.New("a bug")} {
		broken.Store(true)
		b.people.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
			if step == "capture" && broken.Load() {
				return failure
			}
			return nil
		}, nil)
		require.Equal(t, saga.Confirmed, b.execute(t, name, input{}).State)
		s := b.until(t, name, saga.Parked)
		require.Equal(t, saga.Running, s.ParkedFrom)
		require.NotEmpty(t, s.LastError)
		require.InDelta(t, 1, b.metric(t, "saga_parked"), 0)
		o, err := b.runner.Wait(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, saga.Confirmed, o.State, "the promise holds")

		list, err := saga.List(t.Context(), b.pool, saga.Filter{State: saga.Parked, Type: "parked"})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, name, list[0].ID)

		broken.Store(false)
		require.NoError(t, saga.Resume(t.Context(), b.pool, name))
		s = b.until(t, name, saga.Done)
		require.Empty(t, s.Code)
		b.verify(t, name)
		require.True(t, errs.Is(saga.Resume(t.Context(), b.pool, name), errs.Conflict))
		eventually(t, func(context.Context) error {
			if b.metric(t, "saga_parked") != 0 {
				return errors.New("still counted as parked")
			}
			return nil
		})
	}
	require.True(t, errs.Is(saga.Resume(t.Context(), b.pool, "none"), errs.NotFound))
}

// A participant that is away is waited for, however many tries that takes: nothing is parked.
func TestAnOutageDoesNotPark(t *testing.T) {
	t.Parallel()
	b := setup(t, "outage") // parks after 5 tries that fail as internal
	var tries atomic.Int32
	b.people.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "capture" && tries.Add(1) <= 12 {
			return unavailable()
		}
		return nil
	}, nil)
	require.Equal(t, saga.Confirmed, b.execute(t, "s1", input{}).State)
	b.until(t, "s1", saga.Done)
	b.verify(t, "s1")
	require.EqualValues(t, 13, tries.Load())
}

// An undo that fails is tried again, then parked, and goes on where it was.
func TestUndoIsRetriedAndParked(t *testing.T) {
	t.Parallel()
	b := setup(t, "undo")
	var tries atomic.Int32
	b.people.misbehave(func(_ context.Context, kind, step string, _ *saga.Run) error {
		if kind == "undo" && step == "redeem" && tries.Add(1) <= 6 {
			return errors.New("a bug")
		}
		return nil
	}, nil)
	o := b.execute(t, "s1", input{Refuse: "authorize"})
	require.Equal(t, saga.Parked, o.State)
	require.Equal(t, errs.OutOfStock, o.Err.Code)
	s := b.until(t, "s1", saga.Parked)
	require.Equal(t, saga.Compensating, s.ParkedFrom)
	require.NoError(t, saga.Resume(t.Context(), b.pool, "s1"))
	b.until(t, "s1", saga.Compensated)
	b.verify(t, "s1")
	o, err := b.runner.Wait(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, errs.OutOfStock, o.Err.Code)
}

func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t, "leaves")
	arrived, gate := make(chan struct{}), make(chan struct{})
	b.people.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "redeem" {
			close(arrived)
			<-gate
		}
		return nil
	}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, b.begin(ctx, b.runner, "s1", input{}))
	failed := make(chan error, 1)
	go func() {
		_, err := b.runner.Execute(ctx, "s1")
		failed <- err
	}()
	<-arrived
	cancel()
	require.True(t, errs.Is(<-failed, errs.Timeout))
	close(gate)
	b.until(t, "s1", saga.Done)
	b.verify(t, "s1")
}

// A panic is a bug of a step, not the end of the process.
func TestPanicInAStep(t *testing.T) {
	t.Parallel()
	b := setup(t, "panic")
	var once atomic.Bool
	b.people.misbehave(nil, func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "redeem" && once.CompareAndSwap(false, true) {
			panic("boom")
		}
		return nil
	})
	require.Equal(t, saga.Confirmed, b.execute(t, "s1", input{}).State)
	b.until(t, "s1", saga.Done)
	b.verify(t, "s1")
}

func TestUnknownVersionIsLeftAloneAndReported(t *testing.T) {
	t.Parallel()
	b := setup(t, "version")
	_, err := b.pool.Exec(t.Context(), `insert into saga (id, type, def_version, input, state, epoch, owner, lease_until, next_run_at, deadline)
		values ('old', 'version', 7, '{}', 'running', 1, '', now() - interval '1 hour', now(), now() - interval '1 hour')`)
	require.NoError(t, err)
	eventually(t, func(context.Context) error {
		if b.metric(t, "saga_unknown") != 1 {
			return errors.New("not reported")
		}
		return nil
	})
	s, err := saga.Show(t.Context(), b.pool, "old")
	require.NoError(t, err)
	require.Equal(t, saga.Running, s.State)
	require.Equal(t, int64(1), s.Epoch)

	// A runner that knows the version takes it on.
	b.def.Version = 7
	_, err = b.pool.Exec(t.Context(), `insert into orders (id, status) values ('old', 'pending')`)
	require.NoError(t, err)
	b.start(t)
	b.until(t, "old", saga.Compensated)
	b.verify(t, "old")
}

func TestPivotThatIsACall(t *testing.T) {
	t.Parallel()
	b := setup(t, "remote", func(b *bundle, o *saga.Options) {
		b.def = b.people.remote("remote")
		b.def.Deadline = 150 * time.Millisecond
		o.MaxAttempts = 1000
	})
	// Once the call may have been made, the deadline does not turn the saga round.
	var tries atomic.Int32
	b.people.misbehave(nil, func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "confirm" && tries.Add(1) <= 12 {
			return errs.New(errs.Timeout, "no answer")
		}
		return nil
	})
	require.Equal(t, saga.Confirmed, b.execute(t, "s1", input{}).State)
	b.until(t, "s1", saga.Done)
	// A refusal does, and leaves a tombstone for a call that is still on its way.
	o := b.execute(t, "s2", input{Refuse: "confirm"})
	require.Equal(t, saga.Compensated, o.State)
	require.Equal(t, 1, b.people.called("undo", "confirm"))
	b.verify(t, "s1", "s2")
}

func TestStartOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, "once")
	b.execute(t, "s1", input{})
	err := b.begin(t.Context(), b.runner, "s1", input{})
	require.True(t, postgres.IsUnique(err, ""), "%v", err)
	o, err := b.runner.Execute(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, saga.Confirmed, o.State)
	b.until(t, "s1", saga.Done)
	b.verify(t, "s1")

	_, err = b.runner.Execute(t.Context(), "none")
	require.True(t, errs.Is(err, errs.NotFound))
	require.True(t, errs.Is(b.runner.Start(t.Context(), &pgx.Batch{}, "nothing", "x", nil), errs.Internal))
}

func TestDetach(t *testing.T) {
	t.Parallel()
	b := setup(t, "detach")
	require.NoError(t, b.begin(t.Context(), b.runner, "s1", input{}))
	b.runner.Detach("s1")
	s := b.until(t, "s1", saga.Done)
	require.Equal(t, int64(1), s.Epoch)
	b.verify(t, "s1")
}

// A runner that stops waits for its callers, and releases the rest for the next one at once.
func TestStop(t *testing.T) {
	t.Parallel()
	b := setup(t, "stop")
	r, err := saga.NewRunner(b.pool, saga.Options{Definitions: []saga.Definition{b.def}, Lease: time.Hour})
	require.NoError(t, err)
	stop := run(t, r)
	eventually(t, r.Ready)
	arrived, gate := make(chan struct{}, 8), make(chan struct{})
	b.people.misbehave(func(_ context.Context, _, step string, _ *saga.Run) error {
		if step == "capture" || step == "redeem" {
			arrived <- struct{}{}
			<-gate
		}
		return nil
	}, nil)
	require.NoError(t, b.begin(t.Context(), r, "background", input{}))
	require.NoError(t, b.begin(t.Context(), r, "caller", input{}))
	r.Detach("background")
	out := make(chan saga.Outcome, 1)
	go func() {
		o, _ := r.Execute(t.Context(), "caller")
		out <- o
	}()
	<-arrived
	<-arrived
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
	require.True(t, errs.Is(b.begin(t.Context(), r, "late", input{}), errs.Unavailable))
	close(gate)
	require.Equal(t, saga.Confirmed, (<-out).State)
	<-stopped
	// The lease of an hour was given up: the other runner goes on.
	b.until(t, "background", saga.Done)
	b.until(t, "caller", saga.Done)
	b.verify(t, "background", "caller")
	require.Error(t, r.Run(t.Context()), "a runner runs once")
}

func TestQueueFull(t *testing.T) {
	t.Parallel()
	b := setup(t, "full", func(_ *bundle, o *saga.Options) { o.Workers, o.Queue = 1, 1 })
	ids := []string{"s1", "s2", "s3", "s4", "s5", "s6"}
	for _, id := range ids {
		require.Equal(t, saga.Confirmed, b.execute(t, id, input{}).State)
	}
	for _, id := range ids {
		b.until(t, id, saga.Done)
	}
	b.verify(t, ids...)
}
