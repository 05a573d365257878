package tests

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/id"
	"souk/pkg/moduletest"
)

func (h *harness) importAll(products []*productv1.ImportedProduct) map[string]int {
	h.t.Helper()
	outcomes := map[string]int{}
	for chunk := range slices.Chunk(products, 200) {
		out, err := h.client.ImportProducts(h.asOperator(), &productv1.ImportProductsRequest{Products: chunk})
		require.NoError(h.t, err)
		require.Len(h.t, out.GetResults(), len(chunk))
		for _, r := range out.GetResults() {
			outcomes[r.GetOutcome()]++
		}
	}
	return outcomes
}

func (h *harness) exportAll() (all []*productv1.ImportedProduct) {
	h.t.Helper()
	for token := ""; ; {
		out, err := h.client.ExportProducts(h.asOperator(),
			&productv1.ExportProductsRequest{PageSize: 150, PageToken: token})
		require.NoError(h.t, err)
		all = append(all, out.GetProducts()...)
		if token = out.GetNextPageToken(); token == "" {
			return all
		}
	}
}

func TestImportTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	var in []*productv1.ImportedProduct
	for i := range 250 {
		p := simple("s", fmt.Sprint("p", i), fmt.Sprint("Lamp ", i), 5)
		p.CategoryPath = []string{"Home", fmt.Sprint("C", i%7)}
		p.Variants[0].CompareAtPrice = brl("12.00")
		p.Variants = append(
			p.Variants,
			&productv1.VariantInput{
				Sku:     fmt.Sprint("v", i),
				Options: map[string]string{"Size": "L", "Colour": "red"},
				Price:   brl("11.00"),
			},
		)
		in = append(in, p)
	}
	require.Equal(t, map[string]int{"created": 250}, h.importAll(in))
	require.Equal(t, map[string]int{"unchanged": 250}, h.importAll(in))

	// sold pieces do not come back
	variantID := moduletest.Value[string](h.Service, `select id from variant where sku = 'sku-p0'`)
	orderID := id.New(id.Order)
	require.NoError(t, h.reserve(orderID, line(variantID, 2)))
	require.NoError(t, h.commit(orderID))
	require.Equal(t, map[string]int{"unchanged": 250}, h.importAll(in))
	onHand, _ := h.stock(variantID)
	require.EqualValues(t, 3, onHand)

	// a repeated import undoes an edit
	title := "Edited"
	_, err := h.client.UpdateProduct(h.asOperator(),
		&productv1.UpdateProductRequest{Id: h.productOf(variantID), Title: &title})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"updated": 1, "unchanged": 249}, h.importAll(in))
	require.Equal(t, "Lamp 0", h.get(h.productOf(variantID)).GetTitle())

	exported := h.exportAll()
	require.Len(t, exported, 250)
	require.Equal(t, map[string]int{"unchanged": 250}, h.importAll(exported))
}

func TestImportJudgesEachProductOnItsOwn(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	good, bad := simple("s", "good", "Good", 1), simple("s", "bad", "Bad", 1)
	bad.Variants[0].Price = brl("0.00")
	noTitle, noShop := simple("s", "none", "", 1), simple("nowhere", "x", "X", 1)
	stolen, again := simple("s", "stolen", "X", 1), simple("s", "good", "Again", 1)
	stolen.Variants[0].Sku = "sku-good"
	again.Variants[0].Sku = "sku-again"
	nul := simple("s", "nul", "a\x00b", 1)
	script := simple("s", "script", "Script", 1)
	script.Images = []*productv1.Image{{Url: "javascript:alert(1)"}}
	out, err := h.client.ImportProducts(
		h.asOperator(),
		&productv1.ImportProductsRequest{
			Products: []*productv1.ImportedProduct{good, bad, noTitle, noShop, stolen, again, nul, script},
		},
	)
	require.NoError(t, err)
	reasons := []string{
		"",
		"variants[0].price.amount",
		"title",
		"nowhere",
		"sku-good",
		"twice",
		"U+0000",
		"images[0].url",
	}
	for i, r := range out.GetResults() {
		if i == 0 {
			require.Equal(t, "created", r.GetOutcome())
			continue
		}
		require.Equal(t, "rejected", r.GetOutcome(), "%d", i)
		require.Contains(t, r.GetReason(), reasons[i])
	}
}

// All shops share the category tree, so only operators add to it.
func TestSellersImportOnlyIntoExistingCategories(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, member := h.shop("s")
	h.importAll([]*productv1.ImportedProduct{func() *productv1.ImportedProduct {
		p := simple("s", "first", "First", 1)
		p.CategoryPath = []string{"Home", "Lamps"}
		return p
	}()})
	known, unknown, below := simple(
		"s",
		"known",
		"Known",
		1,
	), simple(
		"s",
		"unknown",
		"Unknown",
		1,
	), simple(
		"s",
		"below",
		"Below",
		1,
	)
	known.CategoryPath, unknown.CategoryPath = []string{"Home", "Lamps"}, []string{"Mine"}
	below.CategoryPath = []string{"Mine", "Lamps"}
	out, err := h.client.ImportProducts(
		h.AsUser(member),
		&productv1.ImportProductsRequest{
			Products: []*productv1.ImportedProduct{known, unknown, below, simple("s", "none", "None", 1)},
		},
	)
	require.NoError(t, err)
	var outcomes []string
	for _, r := range out.GetResults() {
		outcomes = append(outcomes, r.GetOutcome())
	}
	require.Equal(t, []string{"created", "rejected", "rejected", "created"}, outcomes)
	require.Contains(t, out.GetResults()[2].GetReason(), "Mine > Lamps")
	list, err := h.client.ListCategories(h.asVisitor(), &productv1.ListCategoriesRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetCategories(), 2)
	require.Equal(t, []string{"Home", "Lamps"}, h.get(out.GetResults()[0].GetProductId()).GetCategoryPath())
}

func TestConcurrentImportsCreateEachProductOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("a")
	h.shop("b")
	var in []*productv1.ImportedProduct
	for i := range 400 {
		p := simple([]string{"a", "b"}[i%2], fmt.Sprint("p", i), fmt.Sprint("Lamp ", i), 5)
		p.CategoryPath = []string{fmt.Sprint("C", i%11), fmt.Sprint("D", i%5)}
		in = append(in, p)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := map[string]int{}
	for w := range 4 {
		wg.Go(func() {
			mine := slices.Clone(in)
			if w%2 == 1 {
				slices.Reverse(mine)
			}
			for outcome, n := range h.importAll(mine) {
				mu.Lock()
				total[outcome] += n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, map[string]int{"created": 400, "unchanged": 1200}, total)
}

func TestNamesInAllScriptsComeBackByteForByte(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("food")
	var in []*productv1.ImportedProduct
	for _, r := range records(t, "openfoodfacts/products.csv") {
		if r[1] == "" || len([]rune(r[1])) > 500 {
			continue
		}
		p := simple("food", r[0], r[1], 1)
		p.Description, p.Status = r[2], "active"
		in = append(in, p)
	}
	require.Equal(t, map[string]int{"created": len(in)}, h.importAll(in))
	exported := map[string]*productv1.ImportedProduct{}
	for _, p := range h.exportAll() {
		exported[p.GetHandle()] = p
	}
	require.Len(t, exported, len(in))
	found := 0
	for i, p := range in {
		require.True(t, proto.Equal(p, exported[p.GetHandle()]), "%v\n%v", p, exported[p.GetHandle()])
		if i%40 == 0 { // a sample: a product is found by its name, in any script
			out, err := h.client.SearchProducts(
				h.asVisitor(),
				&productv1.SearchProductsRequest{
					Query: string([]rune(p.GetTitle())[:min(200, len([]rune(p.GetTitle())))]),
				},
			)
			require.NoError(t, err, p.GetTitle())
			if slices.ContainsFunc(
				out.GetProducts(), func(f *productv1.Product) bool { return f.GetTitle() == p.GetTitle() },
			) {
				found++
			} else {
				t.Logf("not on the first page: %q", p.GetTitle())
			}
		}
	}
	require.Greater(t, found, len(in)/40*9/10)
}
