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
		"Sony WH-1000XM3": {"soni", "wh", "1000xm3", "wh1000xm3"},
		"iPhone 7 32 GB":  {"iphon", "7", "iphone7", "32", "732", "gb", "32gb"},
		"Café ﬁn":         {"cafe", "fin"},
		"e\u0301te\u0301": {"ete"},
		"東京 ラ":            {"東", "京", "ラ"},
		"O'Neill’s":       {"oneill", "neill"},
		"huile d'olive":   {"huil", "doliv", "oliv"},
		"Levi\u02bcs-501": {"levi", "levi", "501", "levis501"},
		"'a' 6' `b`":      {"a", "6", "a6", "b", "6b"},
		"rock´n´roll":     {"rocknroll", "rock", "roll"},
		"crè\u00adme":     {"crem"},
		"Sony™ 5㎏ №7":     {"soni", "5kg", "sony5kg", "no", "5kgno", "7", "no7"},
		"Phở":             {"pho"},
		"ﾊﾞ バ ハ":          {"バ", "バ", "ハ"},
		"han 한 한":         {"han", "한", "한"},
		"йод и\u0306од":   {"йод", "йод"},
		"ёлка е\u0308лка": {"елка", "елка"},
		"أحمد ا\u0654حمد": {"احمد", "احمد"},
		"क़लम क\u093cलम":  {"कलम", "कलम"},
		"½ l":             {"1", "2", "12", "l", "2l"},
		"... --":          nil,
		"🎁 box":           {"🎁", "box"},
		"ＡＢＣ１２":           {"abc12"},
		"lamp lamp":       {"lamp", "lamp"},
	}
	for text, want := range tests {
		require.Equal(t, want, domain.Terms(text), text)
	}
}

func TestSingularAndPluralAreOneTerm(t *testing.T) {
	t.Parallel()
	for _, words := range []string{
		"shoe shoes", "table tables", "battery batteries", "hoodie hoodies", "box boxes", "size sizes", "axe axes",
		"glass glasses", "dress dresses", "watch watches", "cache caches", "dish dishes", "potato potatoes", "toe toes",
		"bikini bikinis", "item items itens", "case cases", "tv tvs", "phone phones", "album albums álbuns",
		"sapato sapatos", "flor flores", "botão botões", "irmão irmãos", "animal animais", "papel papéis",
		"lençol lençóis", "azul azuis", "jardim jardins", "imagem imagens", "barril barris", "verde verdes",
		"mulher mulheres", "luz luzes", "camisa camisas", "pantalón pantalones", "color colores", "reloj relojes",
		"Levi's levis",
		"luz luces luzes", "lápiz lápices", "pez peces", "cruz cruces", "nariz narices", "disfraz disfraces",
		"tapiz tapices",
		"voz voces", "nuez nueces", "altavoz altavoces", "arroz arroces", "raíz raíces", "mes meses", "mês meses",
		"país países", "autobús autobuses", "inglés ingleses", "rubí rubíes rubies ruby", "esquí esquíes",
		"reloj relojes",
		"pão pães", "cão cães", "mãe mães", "alemão alemães", "gás gases", "inglês ingleses", "compás compases",
		"fácil fáceis", "útil úteis", "portátil portáteis", "réptil répteis", "difícil difíceis", "gentil gentis",
		"hotel hotéis", "móvel móveis", "anel anéis", "knife knives", "shelf shelves", "leaf leaves", "half halves",
		"loaf loaves", "scarf scarves scarfs", "wolf wolves", "glove gloves", "lens lenses", "bus buses", "gas gases",
		"canvas canvases", "iris irises", "virus viruses", "atlas atlases", "thermos thermoses", "bonus bonuses",
		"quiz quizzes", "prize prizes", "price prices", "man men", "woman women", "child children", "mouse mice mouses",
		"tooth teeth", "foot feet", "goose geese", "house houses", "blouse blouses", "rose roses", "face faces",
		"necklace necklaces", "service services", "toy toys", "sky skies", "pony ponies", "key keys", "lady ladies",
	} {
		terms := map[string]bool{}
		for word := range strings.FieldsSeq(words) {
			terms[domain.Terms(word)[0]] = true
		}
		require.Len(t, terms, 1, "%s: %v", words, terms)
	}
	for _, words := range []string{
		"care car", "wine win", "tape tap", "code cod", "as a", "32gbs 32gb", "is i", "pass pa",
		"price prize", "leave leaf", "mes me", "gas ga", "mãe mão", "ski sky", "nose no", "país pal", "doce doze",
		"my mi",
		"case cá", "chase chá", "tense ten", "live life",
	} {
		a, b, _ := strings.Cut(words, " ")
		require.NotEqual(t, domain.Terms(a), domain.Terms(b))
	}
}

// A query for any word of a text has a form that is one of the text's terms.
func TestEveryWordOfATextIsATerm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String().Draw(rt, "text")
		terms := map[string]bool{}
		for _, term := range domain.Terms(text) {
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
