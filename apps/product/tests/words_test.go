package tests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/product/internal/handler"
	"souk/apps/product/internal/service"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/waittest"
)

func TestSearchFindsWordsInAnyForm(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	h.titled("s", "Sony WH-1000XM3 headphones", "sony wh1000xm4 headphones", "Apple iPhone 7 Plus 32 GB rose gold",
		"apple iphone 7 plus 32gb", "Samsung UE43M5500AK tv", "Café crème français", "Лампа настольная", "デスクランプ 白",
		"مصباح مكتب", "🎁 gift box", "O'Neill's 100% cotton \\ shirt", "GROẞE Straße")
	tests := []struct{ query, first string }{
		{"wh1000xm3", "Sony WH-1000XM3 headphones"},
		{"WH 1000XM3", "Sony WH-1000XM3 headphones"},
		{"wh-1000xm4", "sony wh1000xm4 headphones"},
		{"iphone 7 plus rose gold", "Apple iPhone 7 Plus 32 GB rose gold"},
		{"Samsung UE43M5500", "Samsung UE43M5500AK tv"},
		{"cafe creme", "Café crème français"},
		{"CAFÉ", "Café crème français"},
		{"лампа", "Лампа настольная"},
		{"ランプ", "デスクランプ 白"},
		{"مصباح", "مصباح مكتب"},
		{"🎁", "🎁 gift box"},
		{"o'neill's", "O'Neill's 100% cotton \\ shirt"},
		{"oneills", "O'Neill's 100% cotton \\ shirt"},
		{"strasse", "GROẞE Straße"},
		{"samsng", "Samsung UE43M5500AK tv"},
		{"headphnes", "sony wh1000xm4 headphones"},
		{"sku-🎁", "🎁 gift box"},
		{"cotton nonsenseword", "O'Neill's 100% cotton \\ shirt"},
	}
	for _, test := range tests {
		out := h.search(&productv1.SearchProductsRequest{Query: test.query})
		require.NotEmpty(t, out.GetProducts(), test.query)
		require.Equal(t, test.first, out.GetProducts()[0].GetTitle(), test.query)
	}
	for _, query := range []string{"xqzxqz", "...", "' or 1=1 --", "zzz & | ! ( ) :*"} {
		require.Empty(t, h.search(&productv1.SearchProductsRequest{Query: query}).GetProducts(), query)
	}
	for _, query := range []string{
		"'", `"`, `\`, `\'`, ":*", "a:*", "!", "&", "|", "(", "<->", "'; drop table listing; --", "%", "_", "$1",
		"🎁🎁🎁", "\u200d", "\u202e", strings.Repeat("a ", 100),
		strings.Repeat("é", 200), strings.Repeat("1a",
			100), strings.Repeat("漢", 200), strings.Repeat("a-1-", 50), "\t\n\r", "\x01\x7f", "ﬁ", "İi", "ß", "a\u0301",
	} {
		for _, sort := range []string{"", "relevance", "newest", "price_asc", "rating"} {
			_, err := h.client.SearchProducts(h.asVisitor(),
				&productv1.SearchProductsRequest{Query: query, Sort: sort, Facets: true})
			require.NoError(t, err, "%q", query)
		}
	}
}

func TestSearchFindsWhatAReaderSees(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	described := func(title, description string) *productv1.ImportedProduct {
		p := simple("s", title, title, 1)
		p.Description = description
		return p
	}
	h.add(
		described("Leather sandal", `<p>Soft.</p><table border="1"><tr><td>Size</td><td>40</td></tr></table>`),
		described("Oak dining table", ""),
		described("Plain scarf", `<p style="color: red; font-family: serif">Warm.</p><script>var gift = 1</script>`),
		described("Red scarf", "<b>W</b>ool"),
		described("Lamp", "<p>Fran&ccedil;ais&nbsp;lampe<br>en cr&egrave;me</p>"),
		described("Jam &amp; marmalade Th&eacute;", ""),
		described("Huile d'olive bio", ""), described("Olive oil", ""), described("Levi\u02bcs 501", ""),
		described("Levi jacket", ""), described("зимнии\u0306 шарф", ""), described("зимний платок", ""),
		described("Phở", ""), described("Pho noodle bowl", ""), described("ﾊﾞｯｸﾞ", ""), described("バッグ ﾐﾆ", ""),
	)
	for query, want := range map[string][]string{
		"table":        {"Oak dining table"},
		"border":       {},
		"serif":        {},
		"gift":         {},
		"red":          {"Red scarf"},
		"size":         {"Leather sandal"},
		"wool":         {"Red scarf"},
		"français":     {"Lamp"},
		"creme":        {"Lamp"},
		"ccedil":       {},
		"thé":          {"Jam &amp; marmalade Th&eacute;"},
		"olive":        {"Huile d'olive bio", "Olive oil"},
		"d'olive":      {"Huile d'olive bio", "Olive oil"},
		"levi":         {"Levi\u02bcs 501", "Levi jacket"},
		"levi's":       {"Levi\u02bcs 501", "Levi jacket"},
		"levis":        {"Levi\u02bcs 501", "Levi jacket"},
		"зимний":       {"зимний шарф", "зимний платок"},
		"зимнии\u0306": {"зимний шарф", "зимний платок"},
		"pho":          {"Phở", "Pho noodle bowl"},
		"PHỞ":          {"Phở", "Pho noodle bowl"},
		"バッグ":          {"ﾊﾞｯｸﾞ", "バッグ ﾐﾆ"},
		"ﾐﾆ":           {"バッグ ﾐﾆ"},
	} {
		for _, sort := range []string{"relevance", "price_asc"} {
			out := h.search(&productv1.SearchProductsRequest{Query: query, Sort: sort})
			require.ElementsMatch(t, want, handles(out), "%s, %s", query, sort)
		}
	}
}

func TestSearchFindsSingularAndPlural(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	h.titled("s", "Shoe blue", "Shoes red", "Lençol branco", "Lençóis azuis", "Pantalón", "Pantalones negros",
		"Battery box", "Batteries")
	for query, want := range map[string][]string{
		"shoe": {"Shoe blue", "Shoes red"}, "shoes": {"Shoe blue", "Shoes red"},
		"lençol": {"Lençol branco", "Lençóis azuis"}, "lencois": {"Lençol branco", "Lençóis azuis"},
		"pantalon": {"Pantalón", "Pantalones negros"}, "pantalones": {"Pantalón", "Pantalones negros"},
		"battery": {"Battery box", "Batteries"}, "batteries": {"Battery box", "Batteries"}, "boxes": {"Battery box"},
	} {
		require.ElementsMatch(t, want, handles(h.search(&productv1.SearchProductsRequest{Query: query})), query)
	}
}

// The product that is about the word comes first, not the one with the shortest title.
func TestSearchRanksByHowOftenAWordOccurs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	described := func(title, description string) *productv1.ImportedProduct {
		p := simple("s", title, title, 1)
		p.Description = description
		return p
	}
	h.add(
		described("Lamp oil", "Burns without smoke."),
		described("Reading lamp for desks", "<p>A lamp with three shades.</p><p>Three lamps in one.</p>"),
		described("Oil burner", "Fits every lamp."),
		described("Desk", "Oak."),
	)
	require.Equal(t, []string{"Reading lamp for desks", "Lamp oil", "Oil burner"},
		handles(h.search(&productv1.SearchProductsRequest{Query: "lamp"})))
}

// While no word is known to be common, a search selects the products that have any of its words. Later it selects those
// with a word like the rarer one.
func TestWordsAreLearntRightAfterAnImport(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	for chunk := range 6 {
		var in []*productv1.ImportedProduct
		for i := range 200 {
			n := fmt.Sprint("x", 1000+chunk*200+i)
			in = append(in, simple("s", n, "Lamp "+n, 1))
		}
		h.add(in...)
	}
	waittest.Until(t, func() bool {
		return h.search(&productv1.SearchProductsRequest{Query: "lamp x1700", Facets: true}).GetTotalSize() <= 200
	}, "the search selects all 1,200 lamps")
}

func TestDescriptionIsShownSanitizedAndExportedAsGiven(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	p := simple("s", "lamp", "Lamp", 1)
	p.Description = `<p onclick="steal()">It's <b>soft</b>.</p><script>steal()</script>`
	productID := h.add(p)[0]
	const shown = `<p>It&#39;s <b>soft</b>.</p>`
	require.Equal(t, shown, h.get(productID).GetDescription())
	require.Equal(t, shown, h.search(&productv1.SearchProductsRequest{}).GetProducts()[0].GetDescription())
	out, err := h.client.ExportProducts(h.asOperator(), &productv1.ExportProductsRequest{})
	require.NoError(t, err)
	require.Equal(t, p.GetDescription(), out.GetProducts()[0].GetDescription())
}

// In a large catalogue the rarest words of a query select, and facets count what the pages show. If no product has the
// rarest word, the others select.
func TestRarestWordsSelectInALargeCatalogue(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	const kettles = 40
	in := []*productv1.ImportedProduct{simple("s", "rare", "Kettle zanzibar", 1)}
	for i := range 1200 {
		title := fmt.Sprint("Lamp x", i)
		if i < kettles-1 {
			title = fmt.Sprint("Kettle x", i)
		}
		in = append(in, simple("s", fmt.Sprint("x", i), title, 1))
	}
	for some := range slices.Chunk(in, 200) {
		h.add(some...)
	}
	require.NoError(t, h.store.LearnWords(t.Context()))
	products, err := handler.New(service.New(h.store, nil, 0), nil, nil)
	require.NoError(t, err)
	search := func(query string) *productv1.SearchProductsResponse {
		out, err := products.SearchProducts(t.Context(),
			&productv1.SearchProductsRequest{Query: query, Facets: true, PageSize: 10})
		require.NoError(t, err)
		return out
	}
	_, err = h.Pool.Exec(t.Context(), `update pg_class set reltuples = 1e9 where oid = 'listing'::regclass`)
	require.NoError(t, err)
	require.EqualValues(t, kettles, search("kettle zanzibar").GetTotalSize(), "by either word")
	require.NoError(t, h.store.LearnWords(t.Context()))
	require.EqualValues(t, 1, search("kettle zanzibar").GetTotalSize(), "by the rarer word")
	require.Len(t, search("kettle zanzibar").GetProducts(), 1)
	require.EqualValues(t, kettles, search("kettle timbuktu").GetTotalSize(), "no product has the rarer word")
}
