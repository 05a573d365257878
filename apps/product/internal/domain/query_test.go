package domain_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/product/internal/domain"
)

func TestFewRareWordsSelectProducts(t *testing.T) {
	t.Parallel()
	shares := map[string]float64{"in": 0.3, "whit": 0.017, "bosch": 0.01, "55": 0.004, "kgn36": 0.0002, "kgn39": 0.0002}
	for name, c := range map[string]struct {
		products float64
		query    string
		want     []string
	}{
		"a small catalogue":                  {16_000, "bosch kgn36 in white", []string{"bosch", "kgn36", "whit"}},
		"its size is not known":              {0, "bosch kgn36 in white", []string{"bosch", "kgn36", "whit"}},
		"a large one":                        {160_000, "bosch kgn36 in white", []string{"kgn36"}},
		"words that are joined do not count": {160_000, "bosch 55 white", []string{"55"}},
		"a word alone":                       {160_000, "white", []string{"whit"}},
		"words that are equally rare":        {16_000_000, "kgn36 kgn39", []string{"kgn36", "kgn39"}},
		"only common words":                  {16_000, "in", nil},
	} {
		f := domain.Frequencies{Share: shares, Rest: 0.000001, Products: c.products}
		groups := domain.ParseQuery(c.query, f)
		least := f.Selective(groups)
		var got []string
		for _, g := range groups {
			if g.Essential && g.Weight >= least {
				got = append(got, g.Forms[0].Word)
			}
		}
		slices.Sort(got)
		require.Equal(t, c.want, got, name)
	}
}
