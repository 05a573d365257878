package saga_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/semaphore"

	"souk/pkg/failpoint"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

const (
	childScenario = "SOUK_SAGA_CHILD"
	childURL      = "SOUK_SAGA_CHILD_URL"
	crashOwner    = "crash"
)

// A scenario is one course of a saga. All scenarios together pass every failpoint.
type scenario struct {
	name string
	in   input
	// call selects the definition whose pivot is a call.
	call bool
	// orphan means that the child takes over a saga of a dead process.
	orphan bool
	// ends is the state in which the saga ends without a crash.
	ends saga.State
	// at reports whether the scenario passes the failpoint.
	at func(fp string) bool
}

func scenarios() []scenario {
	has := func(parts ...string) func(string) bool {
		return func(fp string) bool {
			return slices.ContainsFunc(parts, func(p string) bool { return strings.HasSuffix(fp, p) })
		}
	}
	special := has("after_claim", "_compensating", "_release", "_park", "_checkpoint")
	undo := func(fp string) bool { return strings.Contains(fp, "undo_") }
	return []scenario{
		{name: "forward", ends: saga.Done, at: func(fp string) bool { return !special(fp) && !undo(fp) }},
		{name: "back", in: input{Refuse: "authorize"}, ends: saga.Compensated, at: func(fp string) bool {
			return has("_compensating", "_end")(fp) || undo(fp)
		}},
		{name: "claimed", orphan: true, ends: saga.Done, at: has("after_claim", "after_capture", "after_confirm")},
		{name: "released", in: input{Down: "capture"}, ends: saga.Parked, at: has("_release", "_park")},
		{name: "call", call: true, ends: saga.Done, at: func(fp string) bool { return !special(fp) && !undo(fp) }},
		{name: "checkpoint", call: true, ends: saga.Done, at: has("_checkpoint")},
		{
			name: "call_refused",
			call: true,
			in:   input{Refuse: "confirm"},
			ends: saga.Compensated,
			at: func(fp string) bool {
				return undo(fp) || has("_compensating", "_confirm")(fp)
			},
		},
	}
}

func (s scenario) definition(p *participants) saga.Definition {
	if s.call {
		return p.remote("crash_" + s.name)
	}
	return p.checkout("crash_" + s.name)
}

// child runs a scenario in a process that is killed at a failpoint.
func child() int {
	if err := childRun(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func childRun() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := failpoint.FromEnv(os.Environ()); err != nil {
		return err
	}
	all := scenarios()
	s := all[slices.IndexFunc(all, func(s scenario) bool { return s.name == os.Getenv(childScenario) })]
	pool, err := postgres.Open(ctx, postgres.Config{URL: os.Getenv(childURL), MaxConns: 4})
	if err != nil {
		return err
	}
	defer pool.Close()
	h := &harness{pool: pool, services: newParticipants(pool)}
	h.def = s.definition(h.services)
	r, err := saga.NewRunner(pool, saga.Options{
		Definitions: []saga.Definition{h.def}, Lease: time.Hour, Poll: poll, Owner: crashOwner, Workers: 2,
		MinBackoff: time.Second, MaxBackoff: time.Second, MaxAttempts: 2,
	})
	if err != nil {
		return err
	}
	running := make(chan error, 1)
	go func() { running <- r.Run(ctx) }()
	// The database may run the last statement of a killed process after the next process has claimed the saga. So this
	// process is killed only after it has stopped claiming sagas of its name.
	for r.Ready(ctx) != nil && ctx.Err() == nil {
		pause(ctx, time.Millisecond)
	}
	if !s.orphan {
		if err := h.begin(ctx, r, "s1", s.in); err != nil {
			return err
		}
		if _, err := r.Execute(ctx, "s1"); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		got, err := saga.Show(ctx, pool, "s1")
		if err == nil && got.State == s.ends {
			break
		}
		pause(ctx, 10*time.Millisecond)
	}
	err = ctx.Err()
	cancel()
	select {
	case <-running:
	case <-time.After(timeout):
		err = errors.New("the runner did not stop")
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// A process is killed at each failpoint. The next process ends its saga, which takes effect once or not at all.
func TestCrashAtEveryFailpoint(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	slots := semaphore.NewWeighted(4) // processes at the same time
	var missing []string
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range scenarios() {
			for _, fp := range saga.Failpoints(s.definition(newParticipants(nil))) {
				_, name, _ := strings.Cut(fp, ".")
				kind := fmt.Sprint(s.call, " ", name)
				if !s.at(fp) {
					covered[kind] = covered[kind] || false
					continue
				}
				covered[kind] = true
				t.Run(s.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					require.NoError(t, slots.Acquire(t.Context(), 1))
					defer slots.Release(1)
					crash(t, s, fp)
				})
			}
		}
		for kind, done := range covered {
			// Sagas whose pivot is a call are released, parked and claimed by the same code.
			if !done && !strings.HasPrefix(kind, "true") {
				missing = append(missing, kind)
			}
		}
	})
	require.Empty(t, missing, "failpoints that no scenario passes")
}

// crash kills a child at the failpoint and checks that the next process ends its saga.
func crash(t *testing.T, s scenario, fp string) {
	url := pgtest.URL(t, tables()...)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 8})
	require.NoError(t, err)
	defer pool.Close()
	h := &harness{pool: pool, url: url, services: newParticipants(pool)}
	h.def = s.definition(h.services)
	if s.orphan {
		r, err := saga.NewRunner(pool, saga.Options{Definitions: []saga.Definition{h.def}, Lease: time.Millisecond})
		require.NoError(t, err)
		require.NoError(t, h.begin(t.Context(), r, "s1", s.in))
	}

	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childScenario+"="+s.name, childURL+"="+url, failpoint.Variable+"="+fp+"=exit")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signaled() && status.Signal() == syscall.SIGKILL,
		"the child did not reach %s: %v %s", fp, err, out.String())

	// Restart the process, with working participants. It does not wait for the leases of its predecessor, which last
	// an hour.
	_, err = pool.Exec(ctx,
		`update saga set input = '{}' where state in ('running', 'parked') and input ->> 'Down' <> ''`)
	require.NoError(t, err)
	r, err := saga.NewRunner(
		pool,
		saga.Options{
			Definitions: []saga.Definition{h.def}, Lease: lease, Poll: poll, Owner: crashOwner,
			Logger: zaptest.NewLogger(t),
		},
	)
	require.NoError(t, err)
	stop := run(t, r)
	defer stop()
	if got, err := saga.Show(ctx, pool, "s1"); err == nil && got.State == saga.Parked {
		require.NoError(t, saga.Resume(ctx, pool, "s1"))
	}
	want := s.ends
	if want == saga.Parked {
		want = saga.Done
	}
	got := h.waitState(t, "s1", saga.Done, saga.Compensated)
	require.Equal(t, want, got.State)
	if want == saga.Compensated {
		require.Equal(t, "out_of_stock", got.Code, "a saga that was compensating before the crash does not go forward")
	}
	h.verify(t, "s1")
}
