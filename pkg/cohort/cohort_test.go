package cohort_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/cohort"
)

func TestOneAloneIsNoCohort(t *testing.T) {
	t.Parallel()
	c := cohort.New(1)
	require.Nil(t, c)
	c.Leave()
	ctx := cohort.With(t.Context(), c)
	require.Nil(t, cohort.Of(ctx))
	require.Zero(t, cohort.From(ctx))
	require.Zero(t, cohort.From(cohort.WithMember(ctx, cohort.Member{ID: 7, Size: 1})))
}

func TestAContextKnowsHowManyAreLeft(t *testing.T) {
	t.Parallel()
	c, other := cohort.New(3), cohort.New(3)
	ctx := cohort.With(t.Context(), c)
	require.Same(t, c, cohort.Of(ctx))
	m := cohort.From(ctx)
	require.Equal(t, 3, m.Size)
	require.NotEqual(t, m.ID, cohort.From(cohort.With(t.Context(), other)).ID)

	c.Leave()
	require.Equal(t, cohort.Member{ID: m.ID, Size: 2}, cohort.From(ctx))

	there := cohort.WithMember(t.Context(), m) // where the call arrives: what was known when it was made
	require.Equal(t, m, cohort.From(there))
	require.Nil(t, cohort.Of(there))
}
