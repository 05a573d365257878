package rpc_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/errs"
	"souk/pkg/rpc"
	"souk/pkg/waittest"
)

func TestInFlightBoundsCallsOfACallerAndOfTheProcess(t *testing.T) {
	t.Parallel()
	bounds := rpc.NewInFlight(&optionsv1.InFlight{PerCaller: 1, PerProcess: 2})
	ctx := t.Context()
	endA, err := bounds.Acquire(ctx, "a")
	require.NoError(t, err)
	_, err = bounds.Acquire(ctx, "a")
	require.Equal(t, errs.RateLimited, errs.CodeOf(err))
	require.Positive(t, errs.From(err).RetryAfter)
	endB, err := bounds.Acquire(ctx, "b")
	require.NoError(t, err)

	// A third caller waits, and gives up with its context.
	given, cancel := context.WithCancel(ctx)
	cancel()
	_, err = bounds.Acquire(given, "c")
	require.Equal(t, errs.Overloaded, errs.CodeOf(err))
	begun := make(chan func(), 1)
	go func() {
		end, err := bounds.Acquire(ctx, "c")
		if err == nil {
			begun <- end
		}
	}()
	endA()
	waittest.Receive(t, begun)()
	endB()
	endA, err = bounds.Acquire(ctx, "a")
	require.NoError(t, err)
	endA()
}

func TestMethodsWithoutBoundsAreNotBounded(t *testing.T) {
	t.Parallel()
	end, err := rpc.NewInFlight(nil).Acquire(t.Context(), "a")
	require.NoError(t, err)
	end()
}
