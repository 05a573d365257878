package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/verify"
)

func check(t *testing.T, h *harness) (found verify.Check) {
	t.Helper()
	report, err := verify.Run(t.Context(), h.sources)
	require.NoError(t, err)
	for _, c := range report.Checks {
		if c.Name == "ratings_shown" {
			found = c
		}
	}
	require.NotEmpty(t, found.Name)
	return found
}

func TestRatingsOfTheCatalogueAreThoseOfTheReviews(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.sources.Comment = h.product
	require.False(t, check(t, h).Violated(), "the comment service has never started")
	h.exec(t, h.product, `
		create table doc_ratings (id text, revision bigint, doc jsonb);
		insert into doc_ratings values ('prd_same', 3, '{"stars": [0, 0, 1, 0, 2]}'), ('prd_none', 4, '{"stars": [0, 0, 0, 0, 0]}'),
			('prd_more', 2, '{"stars": [0, 0, 0, 0, 2]}'), ('prd_new', 1, '{"stars": [1, 0, 0, 0, 0]}');
		insert into rating values ('prd_same', 4.33, 3, 1), ('prd_none', 0, 0, 3), ('prd_more', 5, 1, 1), ('prd_gone', 4, 2, 1)`)
	c := check(t, h)
	require.EqualValues(t, 4, c.Checked)
	require.EqualValues(t, 3, c.Wrong)
	require.Equal(t, []string{"prd_gone", "prd_more", "prd_new"}, c.Examples)
	h.exec(t, h.product, `delete from rating where product_id = 'prd_gone';
		update rating set count = 2 where product_id = 'prd_more';
		insert into rating values ('prd_new', 1, 1, 1)`)
	require.False(t, check(t, h).Violated())
}
