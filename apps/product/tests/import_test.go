package tests

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

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
	stolen := simple("s", "stolen", "X", 1)
	stolen.Variants[0].Sku = "sku-good"
	nul := simple("s", "nul", "a\x00b", 1)
	script := simple("s", "script", "Script", 1)
	script.Images = []*productv1.Image{{Url: "javascript:alert(1)"}}
	out, err := h.client.ImportProducts(
		h.asOperator(),
		&productv1.ImportProductsRequest{
			Products: []*productv1.ImportedProduct{good, bad, noTitle, noShop, stolen, nul, script},
		},
	)
	require.NoError(t, err)
	reasons := []string{
		"",
		"variants[0].price.amount",
		"title",
		"nowhere",
		"sku-good",
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

// It is not clear which of them is meant, and with replace each would delete the variants of the other.
func TestProductThatIsTwiceInARequestIsRejectedTwice(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, _ := h.shop("s")
	productID := h.add(polo("S 10.00", "M 20.00", "L 30.00"))[0]
	first, second, other := polo("S 10.00"), polo("M 20.00"), simple("s", "other", "Other", 1)
	for _, shop := range []string{"s", shopID} {
		for _, title := range []string{"Polo", ""} { // without a title it is invalid
			second.Shop, second.Title = shop, title
			out, err := h.client.ImportProducts(h.asOperator(), &productv1.ImportProductsRequest{
				Products: []*productv1.ImportedProduct{first, other, second}, Replace: true,
			})
			require.NoError(t, err)
			require.Equal(t, "rejected", out.GetResults()[0].GetOutcome())
			require.Contains(t, out.GetResults()[0].GetReason(), `the handle "polo" is there twice`)
			require.NotEqual(t, "rejected", out.GetResults()[1].GetOutcome())
			require.Equal(t, "rejected", out.GetResults()[2].GetOutcome())
			require.Len(t, h.get(productID).GetVariants(), 3)
		}
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
	require.Equal(t, []string{"created", "created", "created", "created"}, outcomes)
	require.Empty(t, out.GetResults()[0].GetUnknownCategory())
	require.Equal(t, []string{"Mine"}, out.GetResults()[1].GetUnknownCategory())
	require.Equal(t, []string{"Mine", "Lamps"}, out.GetResults()[2].GetUnknownCategory())
	require.Empty(t, h.get(out.GetResults()[2].GetProductId()).GetCategoryPath())
	list, err := h.client.ListCategories(h.asVisitor(), &productv1.ListCategoriesRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetCategories(), 2)
	require.Equal(t, []string{"Home", "Lamps"}, h.get(out.GetResults()[0].GetProductId()).GetCategoryPath())

	// A product keeps its category when the file has one that is unknown.
	known.CategoryPath = []string{"Mine"}
	for _, outcome := range []string{"unchanged", "updated"} {
		out, err := h.client.ImportProducts(h.AsUser(member),
			&productv1.ImportProductsRequest{Products: []*productv1.ImportedProduct{known}})
		require.NoError(t, err)
		require.Equal(t, outcome, out.GetResults()[0].GetOutcome())
		require.Equal(t, []string{"Mine"}, out.GetResults()[0].GetUnknownCategory())
		require.Equal(t, []string{"Home", "Lamps"}, h.get(out.GetResults()[0].GetProductId()).GetCategoryPath())
		known.Title = "Another"
	}
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

// polo returns a product with a variant for each size and price, such as "S 10.00", without SKUs.
func polo(sizes ...string) *productv1.ImportedProduct {
	p := &productv1.ImportedProduct{Shop: "s", Handle: "polo", Title: "Polo"}
	for _, s := range sizes {
		size, price, _ := strings.Cut(s, " ")
		p.Variants = append(p.Variants, &productv1.VariantInput{
			Options: map[string]string{"Size": size}, Price: brl(price), OnHand: pieces(5),
		})
	}
	return p
}

// sizes returns the IDs of a product's variants by size, and their sizes and prices in order.
func sizes(p *productv1.Product) (ids map[string]string, order []string) {
	ids = map[string]string{}
	for _, v := range p.GetVariants() {
		ids[v.GetOptions()["Size"]] = v.GetId()
		order = append(order, v.GetOptions()["Size"]+" "+v.GetPrice().GetAmount())
	}
	return ids, order
}

func TestImportFindsVariantsWithoutSKUByTheirOptions(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	productID := h.add(polo("S 10.00", "M 20.00"))[0]
	before, _ := sizes(h.get(productID))
	require.Equal(t, map[string]int{"updated": 1}, h.importAll([]*productv1.ImportedProduct{
		polo("XS 8.00", "S 10.00", "M 20.00"),
	}))
	after, order := sizes(h.get(productID))
	require.Equal(t, []string{"XS 8.00", "S 10.00", "M 20.00"}, order)
	require.Equal(t, before["S"], after["S"])
	require.Equal(t, before["M"], after["M"])

	// Sorted another way, and without its first row.
	h.importAll([]*productv1.ImportedProduct{polo("M 21.00", "S 10.00")})
	again, order := sizes(h.get(productID))
	require.Equal(t, after, again)
	require.ElementsMatch(t, []string{"XS 8.00", "S 10.00", "M 21.00"}, order)

	// A SKU that comes later is the variant's from then on.
	named := polo("S 10.00")
	named.Variants[0].Sku = "POLO-S"
	h.importAll([]*productv1.ImportedProduct{named})
	again, _ = sizes(h.get(productID))
	require.Equal(t, after, again)
	require.Equal(t, "POLO-S", moduletest.Value[string](h.Service, `select sku from variant where id = $1`, again["S"]))
}

func TestImportDeletesNothingUnlessItReplaces(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, member := h.shop("s")
	full := polo("S 10.00", "M 20.00", "L 30.00")
	full.Description, full.Tags, full.CategoryPath = "Soft", []string{"red"}, []string{"Tops"}
	full.Variants[1].CompareAtPrice = brl("25.00")
	full.Images = []*productv1.Image{{Url: "https://i/1"}, {Url: "https://i/2"}, {Url: "https://i/3"}}
	productID := h.add(full)[0]
	before := h.get(productID)
	stock := func(variantID string) int64 { onHand, _ := h.stock(variantID); return onHand }

	part := polo("M 21.00")
	part.Variants[0].OnHand = nil
	part.Images = []*productv1.Image{{Url: "https://i/2"}, {Url: "https://i/4"}}
	out, err := h.client.ImportProducts(h.AsUser(member),
		&productv1.ImportProductsRequest{Products: []*productv1.ImportedProduct{part}})
	require.NoError(t, err)
	require.Equal(t, "updated", out.GetResults()[0].GetOutcome())
	after := h.get(productID)
	_, order := sizes(after)
	require.Equal(t, []string{"S 10.00", "M 21.00", "L 30.00"}, order)
	require.Equal(t, "Soft", after.GetDescription())
	require.Equal(t, []string{"red"}, after.GetTags())
	require.Equal(t, []string{"Tops"}, after.GetCategoryPath())
	require.Equal(t, "25.00", after.GetVariants()[1].GetCompareAtPrice().GetAmount())
	var images []string
	for _, image := range after.GetImages() {
		images = append(images, image.GetUrl())
	}
	require.Equal(t, []string{"https://i/1", "https://i/2", "https://i/3", "https://i/4"}, images)
	for i, v := range after.GetVariants() {
		require.Equal(t, before.GetVariants()[i].GetId(), v.GetId())
		require.EqualValues(t, 5, stock(v.GetId()))
	}

	// Only a complete product is replaced.
	replace := func(partial bool) []string {
		p := polo("M 21.00", "XL 40.00")
		p.Partial = partial
		_, err := h.client.ImportProducts(h.asOperator(),
			&productv1.ImportProductsRequest{Products: []*productv1.ImportedProduct{p}, Replace: true})
		require.NoError(t, err)
		_, order := sizes(h.get(productID))
		return order
	}
	require.Equal(t, []string{"S 10.00", "M 21.00", "L 30.00", "XL 40.00"}, replace(true))
	require.Equal(t, []string{"M 21.00", "XL 40.00"}, replace(false))
	require.Equal(t, before.GetVariants()[1].GetId(), h.get(productID).GetVariants()[0].GetId())
	require.Empty(t, h.get(productID).GetImages())
	require.Empty(t, h.get(productID).GetTags())
}

func TestImportKeepsTheAltTextOfAnImageIfItHasNone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	p := polo("S 10.00")
	p.Images = []*productv1.Image{{Url: "https://i/1", Alt: "front"}, {Url: "https://i/2", Alt: "back"}}
	productID := h.add(p)[0]
	p.Images = []*productv1.Image{{Url: "https://i/3"}, {Url: "https://i/2"}, {Url: "https://i/1", Alt: "Front"}}
	for _, replace := range []bool{false, true} {
		_, err := h.client.ImportProducts(h.asOperator(),
			&productv1.ImportProductsRequest{Products: []*productv1.ImportedProduct{p}, Replace: replace})
		require.NoError(t, err)
		var alts []string
		for _, image := range h.get(productID).GetImages() {
			alts = append(alts, image.GetAlt())
		}
		require.Equal(t, []string{"", "back", "Front"}, alts)
	}

	// A PATCH sets what it names.
	_, err := h.client.UpdateProduct(h.asOperator(),
		&productv1.UpdateProductRequest{Id: productID, Images: []*productv1.Image{{Url: "https://i/1"}}})
	require.NoError(t, err)
	require.Empty(t, h.get(productID).GetImages()[0].GetAlt())
}

func TestImportWithoutAStatusKeepsIt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	p := polo("S 10.00")
	p.Status = "draft"
	h.add(p)
	p.Status, p.Title = "", "Another polo"
	for _, replace := range []bool{false, true} {
		_, err := h.client.ImportProducts(h.asOperator(),
			&productv1.ImportProductsRequest{Products: []*productv1.ImportedProduct{p}, Replace: replace})
		require.NoError(t, err)
		require.Equal(t, "draft", h.exportAll()[0].GetStatus(), replace)
	}
}

func TestMadeUpSKUsAreNobodysAndValid(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	long := polo("S 10.00")
	long.Handle = "a" + strings.Repeat("ф", 200)
	tee, second := polo("S 10.00", "M 20.00"), polo("S 10.00")
	tee.Handle, second.Handle = "tee", "tee-2"
	named := polo("S 10.00")
	named.Handle, named.Variants[0].Sku = "tee-3", "tee"
	ids := h.add(long, tee, second, named)
	skus := map[string]bool{}
	for _, productID := range ids {
		for _, v := range h.get(productID).GetVariants() {
			require.True(t, utf8.ValidString(v.GetSku()))
			require.LessOrEqual(t, utf8.RuneCountInString(v.GetSku()), 100)
			skus[v.GetSku()] = true
		}
	}
	require.Len(t, skus, 5)
	require.Equal(t, map[string]int{"unchanged": 4},
		h.importAll([]*productv1.ImportedProduct{long, tee, second, named}))
}

// A negative quantity is how oversold shops export it.
func TestNegativeQuantityIsNone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	p := polo("S 10.00")
	p.Variants[0].OnHand = pieces(-2)
	onHand, _ := h.stock(h.get(h.add(p)[0]).GetVariants()[0].GetId())
	require.Zero(t, onHand)
}

func TestImportBoundsWhatAProductGathers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	many := func(from, n int) *productv1.ImportedProduct {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%d 10.00", from+i))
		}
		return polo(list...)
	}
	productID := h.add(many(0, 150))[0]
	require.Equal(t, map[string]int{"updated": 1}, h.importAll([]*productv1.ImportedProduct{many(150, 50)}))
	require.Equal(t, map[string]int{"rejected": 1}, h.importAll([]*productv1.ImportedProduct{many(200, 1)}))
	require.Len(t, h.get(productID).GetVariants(), 200)
}
