package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"souk/pkg/errs"
	"souk/pkg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quick = retry.Policy{Attempts: 3, Base: time.Microsecond, Max: time.Millisecond}

func TestDoRetriesTransientErrors(t *testing.T) {
	t.Parallel()
	unavailable := errs.New(errs.Unavailable, "down").WithRetryAfter(time.Hour)
	for _, c := range []struct {
		name   string
		policy retry.Policy
		errors []error
		calls  int
		code   errs.Code
	}{
		{"success", quick, []error{nil}, 1, ""},
		{"success at the second attempt", quick, []error{unavailable, nil}, 2, ""},
		{"attempts are bounded", quick, []error{unavailable, unavailable, unavailable, nil}, 3, errs.Unavailable},
		{"a refusal is not retried", quick, []error{errs.New(errs.Conflict, "no"), nil}, 1, errs.Conflict},
		{"zero policy", retry.Policy{}, []error{unavailable, nil}, 1, errs.Unavailable},
		{"no backoff", retry.Policy{Attempts: 2}, []error{unavailable, nil}, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			err := retry.Do(t.Context(), c.policy, retry.Transient, func(context.Context) error {
				calls++
				return c.errors[calls-1]
			})
			require.Equal(t, c.calls, calls)
			require.Equal(t, c.code, errs.CodeOf(err))
		})
	}
}

func TestDoDoesNotOutlastTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	calls := 0
	slow := retry.Policy{Attempts: 5, Base: time.Hour, Max: time.Hour}
	err := retry.Do(ctx, slow, retry.Transient, func(context.Context) error {
		calls++
		return errs.New(errs.Unavailable, "down").WithRetryAfter(time.Hour)
	})
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "the failure is returned, not the end of the context")
	require.Equal(t, 1, calls)
}

func TestDoReturnsWhenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cause := errors.New("down")
	err := retry.Do(
		ctx,
		retry.Policy{Attempts: 5, Base: time.Hour},
		func(error) bool { return true },
		func(context.Context) error {
			cancel()
			return cause
		},
	)
	require.ErrorIs(t, err, cause)
}

func TestBackoffIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := retry.Policy{
			Base: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "base")),
			Max:  time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "max")),
		}
		n := rapid.IntRange(0, 1000).Draw(t, "n")
		backoff := p.Backoff(n)
		require.GreaterOrEqual(t, backoff, time.Duration(0))
		require.LessOrEqual(t, backoff, p.Max)
		if n == 1 {
			require.LessOrEqual(t, backoff, p.Base)
		}
	})
}

func ExampleDo() {
	calls := 0
	err := retry.Do(context.Background(), retry.Default(), retry.Transient, func(context.Context) error {
		if calls++; calls < 3 {
			return errs.New(errs.Unavailable, "not yet")
		}
		return nil
	})
	fmt.Println(calls, err)
	// Output: 3 <nil>
}
