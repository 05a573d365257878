package tests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
)

func (h *harness) search(in *productv1.SearchProductsRequest) *productv1.SearchProductsResponse {
	h.t.Helper()
	out, err := h.client.SearchProducts(h.asVisitor(), in)
	require.NoError(h.t, err)
	return out
}

func handles(out *productv1.SearchProductsResponse) []string {
	all := make([]string, len(out.GetProducts()))
	for i, p := range out.GetProducts() {
		all[i] = p.GetHandle()
	}
	return all
}

// titled adds products that have their titles as handles.
func (h *harness) titled(shop string, titles ...string) {
	h.t.Helper()
	var in []*productv1.ImportedProduct
	for i, title := range titles {
		p := simple(shop, strings.ReplaceAll(title, "/", " "), title, int64(i%2))
		p.Variants[0].Price = brl(fmt.Sprintf("%d.00", 10*(i+1)))
		in = append(in, p)
	}
	h.add(in...)
}

func TestSearchFiltersProducts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	lamps, _ := h.shop("lamps")
	h.shop("chairs")
	p := func(shop, handle, price string, onHand int64, path ...string) *productv1.ImportedProduct {
		in := simple(shop, handle, handle, onHand)
		in.Variants[0].Price = brl(price)
		in.CategoryPath = path
		return in
	}
	eur := p("lamps", "euro", "1.00", 1, "Home")
	eur.Variants[0].Price.CurrencyCode = "EUR"
	draft := p("lamps", "draft", "1.00", 1, "Home")
	draft.Status = "draft"
	h.add(p("lamps", "desk", "10.00", 1, "Home", "Lamps"), p("lamps", "floor", "20.00", 0, "Home", "Lamps", "Floor"),
		p("chairs", "stool", "30.00", 1, "Home", "Chairs"), p("chairs", "ball", "40.00", 1, "Sport"), eur, draft)
	categories := map[string]string{}
	list, err := h.client.ListCategories(h.asVisitor(), &productv1.ListCategoriesRequest{})
	require.NoError(t, err)
	for _, c := range list.GetCategories() {
		categories[c.GetName()] = c.GetId()
	}
	tests := map[string]struct {
		in   *productv1.SearchProductsRequest
		want []string
	}{
		"all, cheapest first": {
			&productv1.SearchProductsRequest{Sort: "price_asc"},
			[]string{"euro", "desk", "floor", "stool", "ball"},
		},
		"all, dearest first": {
			&productv1.SearchProductsRequest{Sort: "price_desc"},
			[]string{"ball", "stool", "floor", "desk", "euro"},
		},
		"a category's subtree": {
			&productv1.SearchProductsRequest{Sort: "price_asc", CategoryId: categories["Lamps"]},
			[]string{"desk", "floor"},
		},
		"shop by ID": {
			&productv1.SearchProductsRequest{Sort: "price_asc", ShopId: lamps},
			[]string{"euro", "desk", "floor"},
		},
		"shop by handle": {
			&productv1.SearchProductsRequest{Sort: "price_asc", ShopId: "chairs"},
			[]string{"stool", "ball"},
		},
		"unknown shop":     {&productv1.SearchProductsRequest{ShopId: "nobody"}, []string{}},
		"unknown category": {&productv1.SearchProductsRequest{CategoryId: "cat_none"}, []string{}},
		"in stock": {
			&productv1.SearchProductsRequest{Sort: "price_asc", InStock: true},
			[]string{"euro", "desk", "stool", "ball"},
		},
		"price, inclusive": {
			&productv1.SearchProductsRequest{Sort: "price_asc", MinPrice: "20", MaxPrice: "30.00", CurrencyCode: "BRL"},
			[]string{"floor", "stool"},
		},
		"price in any currency": {
			&productv1.SearchProductsRequest{Sort: "price_asc", MaxPrice: "10"},
			[]string{"euro", "desk"},
		},
		"currency":         {&productv1.SearchProductsRequest{CurrencyCode: "EUR"}, []string{"euro"}},
		"no such price":    {&productv1.SearchProductsRequest{MinPrice: "50", MaxPrice: "40"}, []string{}},
		"words and filter": {&productv1.SearchProductsRequest{Query: "floor", InStock: true}, []string{}},
		"by category name": {
			&productv1.SearchProductsRequest{Query: "chairs", Sort: "price_asc"},
			[]string{"stool", "ball"},
		},
	}
	for name, test := range tests {
		require.Equal(t, test.want, handles(h.search(test.in)), name)
	}

	out := h.search(&productv1.SearchProductsRequest{Facets: true, PageSize: 1})
	require.EqualValues(t, 5, out.GetTotalSize())
	require.Len(t, out.GetProducts(), 1)
	require.Equal(t, map[string]int64{"Lamps": 1, "Floor": 1, "Chairs": 1, "Sport": 1, "Home": 1},
		counts(out.GetFacets().GetCategories()))
	require.Equal(t, map[string]int64{"Shop lamps": 3, "Shop chairs": 2}, counts(out.GetFacets().GetShops()))
	var priced int64
	for _, f := range out.GetFacets().GetPrices() {
		priced += f.GetCount()
	}
	require.EqualValues(t, 5, priced)
	out = h.search(&productv1.SearchProductsRequest{Facets: true, Query: "lamps", Sort: "price_asc"})
	require.EqualValues(t, 3, out.GetTotalSize())
	out = h.search(&productv1.SearchProductsRequest{Facets: true, Query: "xqzxqz"})
	require.EqualValues(t, 0, out.GetTotalSize())
	require.NotNil(t, out.TotalSize)
	require.Nil(t, h.search(&productv1.SearchProductsRequest{}).TotalSize)
}

// withVariants returns a product with the given variants: options, price, and pieces on hand.
func withVariants(shop, handle string, variants ...*productv1.VariantInput) *productv1.ImportedProduct {
	p := simple(shop, handle, handle, 1)
	p.Variants = variants
	for i, v := range variants {
		v.Sku = fmt.Sprint(handle, "-", i)
	}
	return p
}

func variant(size, color, price string, onHand int64) *productv1.VariantInput {
	return &productv1.VariantInput{
		Options: map[string]string{"Size": size, `The "Color"`: color}, Price: brl(price), OnHand: pieces(onHand),
	}
}

func TestOneVariantMeetsAllThatIsAskedOfIt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	h.add(
		withVariants("s", "shirt", variant("S", "red", "10.00", 0), variant("M", "red", "200.00", 1),
			variant("M", "blue", "300.00", 1)),
		withVariants("s", "coat", variant("S", "red", "30.00", 1), variant("M", "red", "40.00", 0)),
		withVariants("s", "scarf", &productv1.VariantInput{Price: brl("50.00"), OnHand: pieces(1)}),
	)
	request := func(options ...string) *productv1.SearchProductsRequest {
		return &productv1.SearchProductsRequest{Options: options, Sort: "price_asc", Facets: true}
	}
	priced := func(minPrice, maxPrice string, inStock bool, options ...string) *productv1.SearchProductsRequest {
		in := request(options...)
		in.MinPrice, in.MaxPrice, in.InStock = minPrice, maxPrice, inStock
		return in
	}
	tests := map[string]struct {
		in   *productv1.SearchProductsRequest
		want []string
	}{
		"the cheap one is sold out":           {priced("", "50", true), []string{"coat", "scarf"}},
		"any may be the cheap one":            {priced("", "50", false), []string{"shirt", "coat", "scarf"}},
		"the dear one is in stock":            {priced("100", "", true), []string{"shirt"}},
		"one between two prices":              {priced("35", "45", false), []string{"coat"}},
		"none in stock between two prices":    {priced("35", "45", true), []string{}},
		"none between the cheap and the dear": {priced("11", "29", false), []string{}},
		"an option":                           {request("Size:M"), []string{"coat", "shirt"}},
		"an option in stock":                  {priced("", "", true, "Size:M"), []string{"shirt"}},
		"two options of one variant":          {request("Size:S", `The "Color":blue`), []string{}},
		"either of two values":                {request("Size:S", "Size:M", `The "Color":blue`), []string{"shirt"}},
		"option and price":                    {priced("", "100", false, "Size:M"), []string{"coat"}},
		"option, price and stock": {
			priced("", "250", true, "Size:M", `The "Color":red`),
			[]string{"shirt"},
		},
		"no such value":                        {request("Size:m"), []string{}},
		"a name that looks like a path":        {request(`Size" == "M") || (@.x:y`), []string{}},
		"a value that looks like a path":       {request(`Size:M" || "a" == "a`), []string{}},
		"a value with a backslash and a colon": {request(`Size:\a:b`), []string{}},
	}
	for name, test := range tests {
		out := h.search(test.in)
		require.Equal(t, test.want, handles(out), name)
		require.EqualValues(t, len(test.want), out.GetTotalSize(), name)
		test.in.Query = "shirt coat scarf"
		require.ElementsMatch(t, test.want, handles(h.search(test.in)), name+", by words")
	}

	options := func(in *productv1.SearchProductsRequest) map[string]map[string]int64 {
		all := map[string]map[string]int64{}
		for _, o := range h.search(in).GetFacets().GetOptions() {
			all[o.GetName()] = map[string]int64{}
			for _, v := range o.GetValues() {
				all[o.GetName()][v.GetValue()] = v.GetCount()
			}
		}
		return all
	}
	require.Equal(t, map[string]map[string]int64{
		"Size": {"S": 2, "M": 2}, `The "Color"`: {"red": 2, "blue": 1},
	}, options(request()))
	require.Equal(t, map[string]map[string]int64{
		"Size": {"S": 1, "M": 1}, `The "Color"`: {"red": 2, "blue": 1},
	}, options(priced("", "", true)))
	require.Empty(t, options(&productv1.SearchProductsRequest{Query: "scarf", Facets: true}))

	_, err := h.Pool.Exec(
		context.Background(),
		`update listing set variants = null, highest = null`,
	) // as an older souk wrote them
	require.NoError(t, err)
	require.Equal(t, []string{"shirt", "coat", "scarf"}, handles(h.search(priced("", "50", true))))
	require.Equal(t, []string{"shirt", "coat", "scarf"}, handles(h.search(priced("1", "", true))))
	for _, bad := range []string{"", "Size", ":M", "Size:"} {
		_, err := h.client.SearchProducts(h.asVisitor(), request(bad))
		require.Equal(t, errs.Invalid, errs.CodeOf(err), bad)
	}
}

func TestOptionsOfASearchMayHaveColonsAndAnyForm(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	with := func(options map[string]string) *productv1.VariantInput {
		return &productv1.VariantInput{Options: options, Price: brl("10.00"), OnHand: pieces(1)}
	}
	h.add(
		withVariants("s", "a", with(map[string]string{"A:B": "C:D"}), with(map[string]string{"A:B": "x", "A:C": "y"})),
		withVariants("s", "b", with(map[string]string{"A": "B:C:D"}), with(map[string]string{"A": "B:x"})),
		withVariants("s", "c", with(map[string]string{"Color:": "red"}), with(map[string]string{"Tamãho": "Médio"})),
	)
	for _, test := range []struct {
		options []string
		want    []string
	}{
		{[]string{"A:B:C:D"}, []string{"a", "b"}},
		{[]string{"A:B:x"}, []string{"a", "b"}},
		{[]string{"A:B:x", "A:B:z"}, []string{"a", "b"}},
		{[]string{"A:B:x", "A:C:y"}, []string{"a", "b"}},
		{[]string{"A:B:z", "A:C:y"}, []string{}},
		{[]string{"A:B:C:x"}, []string{}},
		{[]string{"Color::red"}, []string{"c"}},
		{[]string{"Tamãho:Médio"}, []string{"c"}},
		{[]string{"Tamãho:Médio "}, []string{"c"}},
		{[]string{strings.Repeat(":", 340)}, []string{}},
		{[]string{" :x"}, nil},
		{[]string{"A: "}, nil},
	} {
		in := &productv1.SearchProductsRequest{Options: test.options}
		if test.want == nil {
			_, err := h.client.SearchProducts(h.asVisitor(), in)
			require.Equal(t, errs.Invalid, errs.CodeOf(err), "%q", test.options)
			continue
		}
		require.ElementsMatch(t, test.want, handles(h.search(in)), "%q", test.options)
	}
}

func TestProductsAreFoundByIDs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	var in []*productv1.ImportedProduct
	for i := range 30 {
		in = append(in, simple("s", fmt.Sprint("p", i), "Lamp", int64(i%2)))
	}
	ids := h.add(in...)
	find := func(in *productv1.SearchProductsRequest) []string {
		var found []string
		for _, p := range h.search(in).GetProducts() {
			found = append(found, p.GetId())
		}
		return found
	}
	require.ElementsMatch(t, ids[:25], find(&productv1.SearchProductsRequest{Ids: ids[:25]}))
	require.ElementsMatch(
		t,
		ids[:25],
		find(&productv1.SearchProductsRequest{Ids: []string{strings.Join(ids[:25], ",")}}),
	)
	require.ElementsMatch(t, []string{ids[1], ids[3]},
		find(&productv1.SearchProductsRequest{Ids: append([]string{"prd_unknown", ids[1]}, ids[:4]...), InStock: true}))
	require.Empty(t, find(&productv1.SearchProductsRequest{Ids: []string{"unknown"}}))
	require.Len(t, find(&productv1.SearchProductsRequest{Ids: ids, PageSize: 7}), 7)
	require.ElementsMatch(t, ids[5:7], find(&productv1.SearchProductsRequest{Ids: ids[5:7], Query: "lamp"}))
	for _, bad := range [][]string{{strings.Repeat("a,", 100)}, {"a\x00"}} {
		_, err := h.client.SearchProducts(h.asVisitor(), &productv1.SearchProductsRequest{Ids: bad})
		require.Equal(t, errs.Invalid, errs.CodeOf(err))
	}
	first := h.search(&productv1.SearchProductsRequest{Ids: ids, PageSize: 7})
	_, err := h.client.SearchProducts(h.asVisitor(),
		&productv1.SearchProductsRequest{Ids: ids[:20], PageSize: 7, PageToken: first.GetNextPageToken()})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "a token is valid only for its own list")
}

func counts(facets []*productv1.FacetCount) map[string]int64 {
	all := map[string]int64{}
	for _, f := range facets {
		all[f.GetName()] = f.GetCount()
	}
	return all
}

// The test pages through the list in every order, with many equal keys and an odd page size.
func TestPagesAddUpToTheWholeList(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	var in []*productv1.ImportedProduct
	for i := range 137 {
		p := simple("s", fmt.Sprint("p", i), fmt.Sprint([]string{"Red lamp", "Blue lamp x2000", "Lamp"}[i%3]), 1)
		p.Variants[0].Price = brl(fmt.Sprintf("%d.00", 1+i%5))
		in = append(in, p)
	}
	ids := h.add(in...)
	_, err := h.Pool.Exec(
		context.Background(),
		`update listing set rating_avg = length(product_id) % 3 + (ascii(right(product_id, 1)) % 3),
			rating_count = ascii(right(product_id, 2)) % 2`,
	)
	require.NoError(t, err)
	slices.Sort(ids)
	for query, size := range map[string]int{"": 137, "lamp": 137, "blue lamp x2000 sofa": 46, "lampp": 137} {
		for _, sort := range []string{"", "relevance", "newest", "price_asc", "price_desc", "rating"} {
			name := query + "/" + sort
			whole := h.search(&productv1.SearchProductsRequest{Query: query, Sort: sort, PageSize: 100})
			var walked []string
			req := &productv1.SearchProductsRequest{Query: query, Sort: sort, PageSize: 7}
			for {
				out := h.search(req)
				for _, p := range out.GetProducts() {
					walked = append(walked, p.GetId())
				}
				if req.PageToken = out.GetNextPageToken(); req.PageToken == "" {
					break
				}
				require.Len(t, out.GetProducts(), 7, name)
				require.LessOrEqual(t, len(walked), len(ids), name)
			}
			for i, p := range whole.GetProducts() {
				require.Equal(t, p.GetId(), walked[i], name)
			}
			slices.Sort(walked)
			require.Len(t, slices.Compact(walked), size, name)
			require.Subset(t, ids, walked, name)
		}
	}
	out := h.search(&productv1.SearchProductsRequest{PageSize: 1_000_000})
	require.Len(t, out.GetProducts(), 100)
	_, err = h.client.SearchProducts(h.asVisitor(),
		&productv1.SearchProductsRequest{Query: "lamp", PageToken: out.GetNextPageToken()})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "a token is valid only for its own list")
}

func TestListsAreCachedUntilSomethingChanges(t *testing.T) {
	t.Parallel()
	h := setup(t, cached(t)...)
	h.shop("s")
	h.titled("s", "Lamp")
	require.Len(t, h.search(&productv1.SearchProductsRequest{}).GetProducts(), 1)
	_, err := h.Pool.Exec(context.Background(), `update listing set visible = false`) // without the service
	require.NoError(t, err)
	h.titled("s", "Chair")
	require.Equal(t, []string{"Chair"}, handles(h.search(&productv1.SearchProductsRequest{})))
	_, err = h.Pool.Exec(context.Background(), `update listing set visible = true`)
	require.NoError(t, err)
	require.Len(t, h.search(&productv1.SearchProductsRequest{}).GetProducts(), 1, "the cache was not invalidated")
	h.clock.Advance(3e9)
	require.Len(t, h.search(&productv1.SearchProductsRequest{}).GetProducts(), 2)
}

// Prices that order or count products are those of the variants that a search finds.
func TestPriceOfAProductIsThatOfTheVariantsFound(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	h.add(
		withVariants("s", "one", variant("S", "red", "10.00", 0), variant("M", "red", "200.00", 1)),
		withVariants("s", "two", variant("S", "red", "60.00", 1)),
		withVariants("s", "three", variant("M", "red", "150.00", 1), variant("S", "red", "300.00", 1)),
	)
	inStock := func(sort string) *productv1.SearchProductsRequest {
		return &productv1.SearchProductsRequest{InStock: true, Sort: sort, Facets: true, PageSize: 1}
	}
	sized := func(sort, size string) *productv1.SearchProductsRequest {
		return &productv1.SearchProductsRequest{Options: []string{"Size:" + size}, Sort: sort, Facets: true}
	}
	from := func(sort string) *productv1.SearchProductsRequest {
		return &productv1.SearchProductsRequest{MinPrice: "100", Sort: sort}
	}
	upTo := inStock("price_desc")
	upTo.MaxPrice = "250"
	tests := map[string]struct {
		in     *productv1.SearchProductsRequest
		want   []string
		prices map[string]int64 // by the least price of the range
	}{
		"in stock, cheapest first": {
			inStock("price_asc"), []string{"two", "three", "one"}, map[string]int64{"50.00": 1, "100.00": 2},
		},
		"in stock, dearest first": {
			inStock("price_desc"), []string{"one", "three", "two"}, map[string]int64{"50.00": 1, "100.00": 2},
		},
		"up to a price": {upTo, []string{"one", "three", "two"}, map[string]int64{"50.00": 1, "100.00": 2}},
		"a size":        {sized("price_asc", "M"), []string{"three", "one"}, map[string]int64{"100.00": 2}},
		"another size": {
			sized("price_desc", "S"),
			[]string{"three", "two", "one"},
			map[string]int64{"10.00": 1, "50.00": 1, "250.00": 1},
		},
		"from a price": {from("price_asc"), []string{"three", "one"}, nil},
		"any": {
			&productv1.SearchProductsRequest{Sort: "price_asc", Facets: true}, []string{"one", "two", "three"},
			map[string]int64{"10.00": 1, "50.00": 1, "100.00": 1},
		},
	}
	check := func(name string, in *productv1.SearchProductsRequest, want []string, prices map[string]int64) {
		var found []string
		for {
			out := h.search(in)
			found = append(found, handles(out)...)
			if prices != nil {
				counted := map[string]int64{}
				for _, p := range out.GetFacets().GetPrices() {
					counted[p.GetFrom().GetAmount()] = p.GetCount()
				}
				require.Equal(t, prices, counted, name)
			}
			if in.PageToken = out.GetNextPageToken(); in.PageToken == "" {
				break
			}
		}
		require.Equal(t, want, found, name)
	}
	for name, test := range tests {
		check(name, proto.CloneOf(test.in), test.want, test.prices)
		in := proto.CloneOf(test.in)
		in.Query = "one two three"
		check(name+", by words", in, test.want, test.prices)
	}
	_, err := h.Pool.Exec(context.Background(), `update listing set highest = null`) // as an older souk wrote them
	require.NoError(t, err)
	for name, test := range tests {
		check(name+", written by an older souk", test.in, test.want, test.prices)
	}
}
