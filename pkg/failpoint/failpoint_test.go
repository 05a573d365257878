package failpoint_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/errs"
	"souk/pkg/failpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHitOfADisabledFailpointDoesNothing(t *testing.T) {
	t.Parallel()
	require.NoError(t, failpoint.Hit(t.Context(), "never.enabled"))
}

func TestErrorFailsTheHit(t *testing.T) {
	t.Parallel()
	disable := failpoint.Enable("error.default", failpoint.Error(nil))
	require.Equal(t, errs.Unavailable, errs.CodeOf(failpoint.Hit(t.Context(), "error.default")))
	require.NoError(t, failpoint.Hit(t.Context(), "error.other"))
	disable()
	disable()
	require.NoError(t, failpoint.Hit(t.Context(), "error.default"))

	cause := errors.New("boom")
	t.Cleanup(failpoint.Enable("error.own", failpoint.Error(cause)))
	require.ErrorIs(t, failpoint.Hit(t.Context(), "error.own"), cause)
}

func TestAfterAndTimesLimitTheHits(t *testing.T) {
	t.Parallel()
	t.Cleanup(failpoint.Enable("after.times", failpoint.Error(nil).After(2).Times(1)))
	var failed []int
	for i := range 5 {
		if failpoint.Hit(t.Context(), "after.times") != nil {
			failed = append(failed, i)
		}
	}
	require.Equal(t, []int{2}, failed)
}

func TestStallEndsWithTheContext(t *testing.T) {
	t.Parallel()
	t.Cleanup(failpoint.Enable("stall.ctx", failpoint.Stall(time.Hour)))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.NoError(t, failpoint.Hit(ctx, "stall.ctx"))
	require.Error(t, ctx.Err(), "it stalled until the context ended")
}

func TestCallRunsTheFunction(t *testing.T) {
	t.Parallel()
	reached := false
	t.Cleanup(failpoint.Enable("call.here", failpoint.Call(func(context.Context) error {
		reached = true
		return nil
	})))
	require.NoError(t, failpoint.Hit(t.Context(), "call.here"))
	require.True(t, reached)
}

func TestSecondEnableReplacesTheFirst(t *testing.T) {
	t.Parallel()
	first := failpoint.Enable("twice", failpoint.Error(errors.New("first")))
	second := failpoint.Enable("twice", failpoint.Error(errors.New("second")))
	first() // has no effect: the failpoint is the second's now
	require.ErrorContains(t, failpoint.Hit(t.Context(), "twice"), "second")
	require.Contains(t, failpoint.Enabled(), "twice")
	second()
	require.NoError(t, failpoint.Hit(t.Context(), "twice"))
}

func TestFromEnvEnablesFailpoints(t *testing.T) {
	t.Parallel()
	require.NoError(t,
		failpoint.FromEnv([]string{"HOME=/", "SOUK_FAILPOINTS= env.a=error ;env.b=stall(1ms),after=1,times=2;"}))
	require.Error(t, failpoint.Hit(t.Context(), "env.a"))
	require.NoError(t, failpoint.Hit(t.Context(), "env.b"))
	require.Subset(t, failpoint.Enabled(), []string{"env.a", "env.b"})
}

func TestFromEnvRefusesMalformedEntries(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{
		"bad", "=exit", "bad=", "bad=explode", "bad=stall(soon)", "bad=stall(5s", "bad=error,after",
		"bad=error,after=-1", "bad=error,when=1",
	} {
		err := failpoint.FromEnv([]string{"SOUK_FAILPOINTS=" + spec})
		require.Equal(t, errs.Invalid, errs.CodeOf(err), spec)
		require.ErrorContains(t, err, "SOUK_FAILPOINTS")
	}
	require.NotContains(t, failpoint.Enabled(), "bad")
}

// TestExitKillsTheProcess starts this test binary again, which then kills itself.
func TestExitKillsTheProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("FAILPOINT_CHILD") != "" {
		require.NoError(t, failpoint.FromEnv(os.Environ()))
		_ = failpoint.Hit(t.Context(), "child.here")
		os.Exit(0) // not reached
	}
	child := exec.CommandContext(t.Context(), os.Args[0],
		"-test.run=^TestExitKillsTheProcess$") //nolint:gosec // this binary
	child.Env = append(os.Environ(), "FAILPOINT_CHILD=1", "SOUK_FAILPOINTS=child.here=exit")
	var exit *exec.ExitError
	require.ErrorAs(t, child.Run(), &exit)
	status, ok := exit.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGKILL, status.Signal())
}

func BenchmarkHitOff(b *testing.B) {
	for b.Loop() {
		_ = failpoint.Hit(b.Context(), "bench")
	}
}
