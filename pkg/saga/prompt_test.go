package saga_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/saga"
	"souk/pkg/waittest"
)

// withPrompt replaces the steps of the definition by a pivot, a prompt step, and another one.
func withPrompt(do func() error) func(*harness, *saga.Options) {
	return func(h *harness, _ *saga.Options) {
		steps := []saga.Step{
			{Name: "confirm", Batch: func(*saga.Run, *pgx.Batch) error { return nil }, Pivot: true},
			{Name: "tidy", Do: func(context.Context, *saga.Run) error { return do() }, Prompt: true},
			{Name: "rest", Do: func(context.Context, *saga.Run) error { return nil }},
		}
		h.def.Steps = steps
	}
}

func TestPromptStepIsDoneBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	var done atomic.Bool
	h := setup(t, "prompt", withPrompt(func() error { done.Store(true); return nil }))
	o := h.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State)
	require.True(t, done.Load(), "a caller of a confirmed saga sees the effect of the step")
	h.waitState(t, "s1", saga.Done)
}

func TestFailingPromptStepDoesNotDelayTheAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var attempts atomic.Int64
	h := setup(t, "promptfails", withPrompt(func() error {
		attempts.Add(1)
		select {
		case <-release:
			return nil
		default:
			return errs.New(errs.Unavailable, "out of reach")
		}
	}))
	o := h.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State, "the answer is given after one attempt")
	close(release)
	h.waitState(t, "s1", saga.Done)
	require.GreaterOrEqual(t, attempts.Load(), int64(2), "the step is retried")
}

func TestWrittenIsCalledAfterTheCommit(t *testing.T) {
	t.Parallel()
	status := make(chan string, 10)
	h := setup(t, "written", func(h *harness, _ *saga.Options) {
		for i := range h.def.Steps {
			if !h.def.Steps[i].Pivot {
				continue
			}
			h.def.Steps[i].Written = func() {
				var s string
				err := h.pool.QueryRow(context.Background(), `select status from orders where id = 's1'`).Scan(&s)
				if err != nil {
					s = err.Error()
				}
				status <- s
			}
		}
	})
	o := h.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State)
	require.Equal(t, "confirmed", waittest.Receive(t, status))
}
