package saga_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/saga"
)

// withPrompt puts a prompt step behind the pivot of the bundle's definition.
func withPrompt(do func() error) func(*bundle, *saga.Options) {
	return func(b *bundle, _ *saga.Options) {
		steps := []saga.Step{
			{Name: "confirm", Batch: func(*saga.Run, *pgx.Batch) error { return nil }, Pivot: true},
			{Name: "tidy", Do: func(context.Context, *saga.Run) error { return do() }, Prompt: true},
			{Name: "rest", Do: func(context.Context, *saga.Run) error { return nil }},
		}
		b.def.Steps = steps
	}
}

func TestAPromptStepIsDoneBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	var done atomic.Bool
	b := setup(t, "prompt", withPrompt(func() error { done.Store(true); return nil }))
	o := b.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State)
	require.True(t, done.Load(), "whoever is told that the saga is confirmed sees the step's effect")
	b.until(t, "s1", saga.Done)
}

func TestAPromptStepThatFailsDoesNotHoldTheAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var tries atomic.Int64
	b := setup(t, "promptfails", withPrompt(func() error {
		tries.Add(1)
		select {
		case <-release:
			return nil
		default:
			return errs.New(errs.Unavailable, "not now")
		}
	}))
	o := b.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State, "the answer is there after one try")
	close(release)
	b.until(t, "s1", saga.Done)
	require.GreaterOrEqual(t, tries.Load(), int64(2), "and the step is tried on")
}

func TestWrittenIsCalledAfterTheCommit(t *testing.T) {
	t.Parallel()
	status := make(chan string, 10)
	b := setup(t, "written", func(b *bundle, _ *saga.Options) {
		for i := range b.def.Steps {
			if !b.def.Steps[i].Pivot {
				continue
			}
			b.def.Steps[i].Written = func() {
				var s string
				err := b.pool.QueryRow(context.Background(), `select status from orders where id = 's1'`).Scan(&s)
				if err != nil {
					s = err.Error()
				}
				status <- s
			}
		}
	})
	o := b.execute(t, "s1", input{})
	require.Equal(t, saga.Confirmed, o.State)
	require.Equal(t, "confirmed", <-status)
}
