package cohort_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/cohort"
)

func TestAContextKnowsHowManyAreLeft(t *testing.T) {
	t.Parallel()
	c := cohort.New()
	a, b := c.Join(), c.Join()
	ctx := cohort.With(t.Context(), a)
	require.Same(t, a, cohort.In(ctx))
	h := cohort.From(ctx)
	require.Equal(t, 2, h.Size)
	require.Equal(t, h, cohort.From(cohort.With(t.Context(), b)))
	require.NotEqual(t, h.ID, cohort.From(cohort.With(t.Context(), cohort.Of(2)[0])).ID)

	c.Join()
	b.Leave()
	b.Leave()
	require.Equal(t, 2, cohort.From(ctx).Size, "each leaves once")
	a.Leave()
	require.Zero(t, cohort.From(ctx), "who has left waits for nobody")

	there := cohort.WithHint(t.Context(), h) // where the call arrives: what was known when it was made
	require.Equal(t, h, cohort.From(there))
	require.Nil(t, cohort.In(there))
}

func TestNoCohort(t *testing.T) {
	t.Parallel()
	var none *cohort.Member
	none.Leave()
	ctx := cohort.With(t.Context(), none)
	require.Nil(t, cohort.In(ctx))
	require.Zero(t, cohort.From(ctx))
	require.Zero(t, cohort.From(cohort.WithHint(ctx, cohort.Hint{ID: 7, Size: 1})))

	require.Zero(t, cohort.From(cohort.Without(cohort.With(ctx, cohort.Of(2)[0]))))
	require.Zero(t, cohort.From(cohort.Without(cohort.WithHint(ctx, cohort.Hint{ID: 7, Size: 3}))))
}
