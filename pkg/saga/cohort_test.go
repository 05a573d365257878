package saga_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/cohort"
	"souk/pkg/errs"
	"souk/pkg/saga"
)

func TestStepsGoWithTheCallersCohort(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string][]cohort.Hint{}
	note := func(ctx context.Context, step string) (tries int) {
		mu.Lock()
		defer mu.Unlock()
		seen[step] = append(seen[step], cohort.From(ctx))
		return len(seen[step])
	}
	b := setup(t, "cohort", func(b *bundle, _ *saga.Options) {
		b.def.Steps = []saga.Step{
			{Name: "first", Do: func(ctx context.Context, _ *saga.Run) error { note(ctx, "first"); return nil }},
			{Name: "second", Do: func(ctx context.Context, _ *saga.Run) error {
				if note(ctx, "second") == 1 {
					return errs.New(errs.Unavailable, "not now")
				}
				return nil
			}},
			{Name: "confirm", Batch: func(*saga.Run, *pgx.Batch) error { return nil }, Pivot: true},
			{Name: "rest", Do: func(ctx context.Context, _ *saga.Run) error { note(ctx, "rest"); return nil }},
		}
	})
	ctx := cohort.With(t.Context(), cohort.Of(5)[0])
	of := cohort.From(ctx)
	require.NoError(t, b.begin(ctx, b.runner, "s1", input{}))
	o, err := b.runner.Execute(ctx, "s1")
	require.NoError(t, err)
	require.Equal(t, saga.Confirmed, o.State)
	b.until(t, "s1", saga.Done)

	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []cohort.Hint{of}, seen["first"])
	require.Equal(t, []cohort.Hint{of, {}}, seen["second"], "who tries again has left")
	require.Len(t, seen["rest"], 1)
	require.NotEqual(t, of.ID, seen["rest"][0].ID, "the caller's goes on without what is left")
	require.Equal(t, 1, seen["rest"][0].Size, "only this saga was handed over")
}

func TestWhoIsRefusedLeavesTheCohort(t *testing.T) {
	t.Parallel()
	undone := make(chan cohort.Hint, 1)
	b := setup(t, "cohortrefused", func(b *bundle, _ *saga.Options) {
		b.def.Steps = []saga.Step{
			{
				Name: "first", Do: func(context.Context, *saga.Run) error { return nil },
				Undo: func(ctx context.Context, _ *saga.Run) error { undone <- cohort.From(ctx); return nil },
			},
			{Name: "second", Do: func(context.Context, *saga.Run) error { return errs.New(errs.OutOfStock, "sold") }},
			{Name: "confirm", Batch: func(*saga.Run, *pgx.Batch) error { return nil }, Pivot: true},
		}
	})
	members := cohort.Of(3)
	ctx := cohort.With(t.Context(), members[0])
	require.NoError(t, b.begin(ctx, b.runner, "s1", input{}))
	o, err := b.runner.Execute(ctx, "s1")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.State)
	require.Zero(t, <-undone, "it waits for nobody")
	require.Equal(t, 2, cohort.From(cohort.With(t.Context(), members[1])).Size, "and nobody for it")
}

func TestWhatGoesOnInTheBackgroundGoesTogether(t *testing.T) {
	t.Parallel()
	const many = 50
	sizes := make(chan int, many)
	b := setup(t, "cohortwave", func(b *bundle, _ *saga.Options) {
		b.def.Steps = []saga.Step{
			{Name: "confirm", Batch: func(*saga.Run, *pgx.Batch) error { return nil }, Pivot: true},
			{Name: "rest", Do: func(ctx context.Context, _ *saga.Run) error { sizes <- cohort.From(ctx).Size; return nil }},
		}
	})
	var callers sync.WaitGroup
	for i := range many {
		callers.Go(func() { b.execute(t, fmt.Sprint("s", i), input{}) })
	}
	callers.Wait()
	largest := 0
	for range many {
		largest = max(largest, <-sizes)
	}
	require.Greater(t, largest, 1, "those that were handed over in one tick")
}
