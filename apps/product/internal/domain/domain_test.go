package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/apps/product/internal/domain"
)

func TestOnlyListedTransitionsAreAllowed(t *testing.T) {
	t.Parallel()
	all := []domain.State{
		"",
		domain.Held,
		domain.Released,
		domain.Expired,
		domain.Committed,
		domain.Restocked,
		domain.Tombstone,
	}
	allowed := map[domain.State][]domain.State{
		"":               {domain.Held, domain.Tombstone},
		domain.Held:      {domain.Released, domain.Expired, domain.Committed},
		domain.Expired:   {domain.Released, domain.Committed},
		domain.Committed: {domain.Restocked},
	}
	for _, from := range all {
		for _, to := range all {
			require.Equal(t, contains(allowed[from], to), from.CanBecome(to), "%q to %q", from, to)
		}
	}
}

func contains(states []domain.State, s domain.State) bool {
	for _, x := range states {
		if x == s {
			return true
		}
	}
	return false
}

func TestTerms(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"Sony WH-1000XM3": {"sony", "wh", "1000xm3", "wh1000xm3"},
		"iPhone 7 32 GB":  {"iphone", "7", "iphone7", "32", "732", "gb", "32gb"},
		"Café ﬁn":         {"cafe", "fin"},
		"e\u0301te\u0301": {"ete"},
		"東京 ラ":            {"東", "京", "ラ"},
		"O'Neill’s":       {"oneills", "neill"},
		"huile d'olive":   {"huile", "dolive", "olive"},
		"Levi\u02bcs-501": {"levis", "levi", "501", "levis501"},
		"'a' 6' `b`":      {"a", "6", "a6", "b", "6b"},
		"rock´n´roll":     {"rocknroll", "rock", "roll"},
		"crè\u00adme":     {"creme"},
		"Sony™ 5㎏ №7":     {"sony", "5kg", "sony5kg", "no", "5kgno", "7", "no7"},
		"Phở":             {"pho"},
		"ﾊﾞ バ ハ":          {"バ", "ハ"},
		"han 한 한":         {"han", "한"},
		"йод и\u0306од":   {"йод"},
		"ёлка е\u0308лка": {"елка"},
		"أحمد ا\u0654حمد": {"احمد"},
		"क़लम क\u093cलम":  {"कलम"},
		"½ l":             {"1", "2", "12", "l", "2l"},
		"... --":          nil,
		"🎁 box":           {"🎁", "box"},
		"ＡＢＣ１２":           {"abc12"},
		"lamp lamp":       {"lamp"},
	}
	for text, want := range tests {
		require.Equal(t, want, domain.Terms(text, 50), text)
	}
	require.Len(t, domain.Terms(strings.Repeat("a b c d ", 10), 3), 3)
}

// A query for any word of a text has a form that is one of the text's terms.
func TestEveryWordOfATextIsATerm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String().Draw(rt, "text")
		terms := map[string]bool{}
		for _, term := range domain.Terms(text, 10_000) {
			require.NotContains(rt, term, " ")
			terms[term] = true
		}
		for _, g := range domain.ParseQuery(text, domain.Frequencies{}) {
			if g.Essential {
				require.True(rt, terms[g.Forms[0].Word], "%q in %q", g.Forms[0].Word, text)
			}
			require.LessOrEqual(rt, len(g.Forms), domain.MaxForms)
			require.Positive(rt, g.Weight)
		}
	})
}

func TestHandle(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"Blue Lamp!": "blue-lamp", "???": "product", "Лампа 2": "лампа-2", "<b>x</b>": "b-x-b",
	} {
		require.Equal(t, want, domain.Handle(title))
	}
	require.LessOrEqual(t, len(domain.Handle(strings.Repeat("лампа ", 100))), 200)
}
