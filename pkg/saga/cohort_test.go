package saga_test

import (
	"context"
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
	c := cohort.New()
	for range 4 {
		c.Join()
	}
	ctx := cohort.With(t.Context(), c.Join())
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
