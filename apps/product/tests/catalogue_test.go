package tests

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"souk/apps/product"
	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func newProduct(shopID, title string) *productv1.CreateProductRequest {
	return &productv1.CreateProductRequest{
		ShopId: shopID, Title: title, Description: "<b>Nice</b>'; drop table product; --", Tags: []string{"new"},
		Images: []*productv1.Image{{Url: "https://img.example/1.jpg", Alt: "front"}},
		Variants: []*productv1.VariantInput{
			{Sku: "A-" + title, Options: map[string]string{"Size": "M"}, Price: brl("20.00"), OnHand: pieces(3)},
			{
				Sku:            "B-" + title,
				Options:        map[string]string{"Size": "L"},
				Price:          brl("15.50"),
				CompareAtPrice: brl("18.00"),
			},
		},
	}
}

func TestSellerManagesAProduct(t *testing.T) {
	t.Parallel()
	h := setup(t, cached(t)...)
	shopID, member := h.shop("s")
	ctx := h.AsUser(member)
	created, err := h.client.CreateProduct(ctx, newProduct(shopID, "Blue Lamp"))
	require.NoError(t, err)
	p := created.GetProduct()
	require.Equal(t, "blue-lamp", p.GetHandle())
	require.Equal(t, "Shop s", p.GetShopName())
	require.Equal(t, "15.50", p.GetPrice().GetAmount())
	require.Equal(t, "<b>Nice</b>&#39;; drop table product; --", p.GetDescription())
	require.True(t, p.GetVariants()[0].GetAvailable())
	require.False(t, p.GetVariants()[1].GetAvailable())
	require.True(t, proto.Equal(p, h.get(p.GetId())))

	second, err := h.client.CreateProduct(ctx, func() *productv1.CreateProductRequest {
		in := newProduct(shopID, "Blue Lamp")
		in.Variants[0].Sku, in.Variants[1].Sku = "x", "y"
		return in
	}())
	require.NoError(t, err)
	require.NotEqual(t, "blue-lamp", second.GetProduct().GetHandle())

	title := "Green Lamp"
	updated, err := h.client.UpdateProduct(
		ctx,
		&productv1.UpdateProductRequest{Id: p.GetId(), Title: &title, Variants: []*productv1.VariantInput{
			{
				Sku:    "B-Blue Lamp",
				Price:  brl("9.00"),
				OnHand: pieces(7),
			},
			{Sku: "C", Options: map[string]string{"Size": "S"}, Price: brl("8.00")},
		}},
	)
	require.NoError(t, err)
	u := updated.GetProduct()
	require.Equal(t, "Green Lamp", u.GetTitle())
	require.Equal(t, "blue-lamp", u.GetHandle())
	require.Equal(t, p.GetVariants()[0].GetId(), u.GetVariants()[0].GetId(), "a variant that is not named stays")
	require.Equal(t, p.GetVariants()[1].GetId(), u.GetVariants()[1].GetId(), "a variant keeps its ID by its SKU")
	require.Equal(t, "L", u.GetVariants()[1].GetOptions()["Size"])
	require.True(t, u.GetVariants()[1].GetAvailable())
	require.True(t, proto.Equal(u, h.get(p.GetId())), "the cache was invalidated")

	stock, err := h.client.SetStock(ctx,
		&productv1.SetStockRequest{VariantId: u.GetVariants()[2].GetId(), OnHand: pieces(4)})
	require.NoError(t, err)
	require.EqualValues(t, 4, stock.GetStock().GetAvailable())
	require.True(t, h.get(p.GetId()).GetVariants()[2].GetAvailable())
	require.NoError(t, h.reserve(id.New(id.Order), line(u.GetVariants()[2].GetId(), 2)))
	_, err = h.client.SetStock(ctx,
		&productv1.SetStockRequest{VariantId: u.GetVariants()[2].GetId(), OnHand: pieces(1)})
	require.Equal(t, errs.Conflict, errs.CodeOf(err))
	_, err = h.client.UpdateProduct(
		ctx,
		&productv1.UpdateProductRequest{Id: p.GetId(), Variants: []*productv1.VariantInput{
			{
				Sku:   "B-Blue Lamp",
				Price: brl("9.00"),
			},
			{Sku: "C", Options: map[string]string{"Size": "S"}, Price: brl("8.00"), OnHand: pieces(1)},
		}},
	)
	require.Equal(t, errs.Conflict, errs.CodeOf(err))

	list, err := h.client.ListShopProducts(ctx, &productv1.ListShopProductsRequest{ShopId: "s", PageSize: 1})
	require.NoError(t, err)
	require.Len(t, list.GetProducts(), 1)
	require.NotEmpty(t, list.GetNextPageToken())
	list, err = h.client.ListShopProducts(ctx,
		&productv1.ListShopProductsRequest{ShopId: "s", PageSize: 1, PageToken: list.GetNextPageToken()})
	require.NoError(t, err)
	require.Equal(t, p.GetId(), list.GetProducts()[0].GetProduct().GetId())
	require.EqualValues(t, 7, list.GetProducts()[0].GetStock()[1].GetOnHand())
	require.Empty(t, list.GetNextPageToken())

	_, err = h.client.DeleteProduct(ctx, &productv1.DeleteProductRequest{Id: p.GetId()})
	require.NoError(t, err)
	_, err = h.client.GetProduct(ctx, &productv1.GetProductRequest{Id: p.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	_, err = h.client.CreateProduct(ctx, newProduct(shopID, "Blue Lamp"))
	require.NoError(t, err, "handle and SKUs are free again")
	require.Equal(t, 1, h.appended("evt.product.deleted"))
}

func TestProductsOfOtherShopsAreNotFound(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("mine")
	_, stranger := h.shop("theirs")
	in := newProduct(shopID, "Lamp")
	in.Status = "draft"
	created, err := h.client.CreateProduct(h.AsUser(member), in)
	require.NoError(t, err)
	p := created.GetProduct()
	for who, ctx := range map[string]context.Context{"stranger": h.AsUser(stranger), "visitor": h.asVisitor()} {
		_, err := h.client.GetProduct(ctx, &productv1.GetProductRequest{Id: p.GetId()})
		require.Equal(t, errs.NotFound, errs.CodeOf(err), who)
	}
	for who, ctx := range map[string]context.Context{"member": h.AsUser(member), "operator": h.asOperator()} {
		_, err := h.client.GetProduct(ctx, &productv1.GetProductRequest{Id: p.GetId()})
		require.NoError(t, err, who)
	}
	ctx := h.AsUser(stranger)
	title := "Mine now"
	calls := map[string]func() error{
		"create": func() error { _, err := h.client.CreateProduct(ctx, newProduct(shopID, "X")); return err },
		"update": func() error {
			_, err := h.client.UpdateProduct(ctx, &productv1.UpdateProductRequest{Id: p.GetId(), Title: &title})
			return err
		},
		"delete": func() error {
			_, err := h.client.DeleteProduct(ctx, &productv1.DeleteProductRequest{Id: p.GetId()})
			return err
		},
		"stock": func() error {
			_, err := h.client.SetStock(ctx,
				&productv1.SetStockRequest{VariantId: p.GetVariants()[0].GetId(), OnHand: pieces(0)})
			return err
		},
		"list": func() error {
			_, err := h.client.ListShopProducts(ctx, &productv1.ListShopProductsRequest{ShopId: shopID})
			return err
		},
	}
	for name, call := range calls {
		require.Equal(t, errs.NotFound, errs.CodeOf(call()), name)
	}
	out, err := h.client.ImportProducts(
		ctx,
		&productv1.ImportProductsRequest{
			Products: []*productv1.ImportedProduct{simple("mine", "h", "T", 1), simple("theirs", "h", "T", 1)},
		},
	)
	require.NoError(t, err)
	require.Equal(t, "rejected", out.GetResults()[0].GetOutcome())
	require.Equal(t, "created", out.GetResults()[1].GetOutcome())
	_, err = h.client.ExportProducts(ctx, &productv1.ExportProductsRequest{})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err))
	_, err = h.client.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "X"})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err))
}

func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.AsUser(member)
	tests := map[string]struct {
		change func(*productv1.CreateProductRequest)
		field  string
	}{
		"no title":    {func(in *productv1.CreateProductRequest) { in.Title = "" }, "title"},
		"blank title": {func(in *productv1.CreateProductRequest) { in.Title = "  " }, "title"},
		"NUL":         {func(in *productv1.CreateProductRequest) { in.Title = "a\x00b" }, "title"},
		"NUL in option": {
			func(in *productv1.CreateProductRequest) { in.Variants[0].Options = map[string]string{"a": "\x00"} },
			"variants[0].options",
		},
		"slash":       {func(in *productv1.CreateProductRequest) { in.Handle = "a/b" }, "handle"},
		"no variants": {func(in *productv1.CreateProductRequest) { in.Variants = nil }, "variants"},
		"no price": {
			func(in *productv1.CreateProductRequest) { in.Variants[0].Price = nil },
			"variants[0].price",
		},
		"zero price": {
			func(in *productv1.CreateProductRequest) { in.Variants[0].Price = brl("0.00") },
			"variants[0].price.amount",
		},
		"negative price": {
			func(in *productv1.CreateProductRequest) { in.Variants[0].Price = brl("-1.00") },
			"variants[0].price.amount",
		},
		"absurd price": {
			func(in *productv1.CreateProductRequest) { in.Variants[0].Price = brl("10000000000.01") },
			"variants[0].price.amount",
		},
		"half a cent": {
			func(in *productv1.CreateProductRequest) { in.Variants[0].Price = brl("1.005") },
			"variants[0].price.amount",
		},
		"wrong currency": {func(in *productv1.CreateProductRequest) {
			in.Variants[0].Price = &moneyv1.Money{CurrencyCode: "XYZ", Amount: "1.00"}
		}, "variants[0].price.currencyCode"},
		"two currencies": {func(in *productv1.CreateProductRequest) {
			in.Variants[1].Price = &moneyv1.Money{CurrencyCode: "EUR", Amount: "1.00"}
		}, "variants[1].price.currencyCode"},
		"no SKU": {func(in *productv1.CreateProductRequest) { in.Variants[1].Sku = "" }, "variants[1].sku"},
		"same SKU": {
			func(in *productv1.CreateProductRequest) { in.Variants[1].Sku = in.Variants[0].Sku },
			"variants[1].sku",
		},
		"same options": {
			func(in *productv1.CreateProductRequest) { in.Variants[1].Options = in.Variants[0].Options },
			"variants[1].options",
		},
		"four options": {func(in *productv1.CreateProductRequest) {
			in.Variants[0].Options = map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}
		}, "variants[0].options"},
		"absurd stock": {
			func(in *productv1.CreateProductRequest) { in.Variants[0].OnHand = pieces(1_000_000_001) },
			"variants[0].onHand",
		},
		"status":    {func(in *productv1.CreateProductRequest) { in.Status = "gone" }, "status"},
		"empty tag": {func(in *productv1.CreateProductRequest) { in.Tags = []string{""} }, "tags[0]"},
	}
	for name, test := range tests {
		in := newProduct(shopID, "Lamp")
		test.change(in)
		_, err := h.client.CreateProduct(ctx, in)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%s: %v", name, err)
		require.NotEmpty(t, errs.From(err).Fields, name)
		require.True(t, strings.HasPrefix(errs.From(err).Fields[0].Path, test.field), "%s: %s", name,
			errs.From(err).Fields[0].Path)
	}
	for name, in := range map[string]*productv1.CreateProductRequest{"shop": newProduct("shp_none",
		"L"), "category": func() *productv1.CreateProductRequest {
		in := newProduct(shopID, "L")
		in.CategoryId = "cat_none"
		return in
	}()} {
		_, err := h.client.CreateProduct(ctx, in)
		require.Equal(t, errs.NotFound, errs.CodeOf(err), name)
	}
	for _, in := range []*productv1.SearchProductsRequest{
		{Query: "a\x00"}, {CategoryId: "\x00"}, {
			ShopId: "\x00",
		}, {MinPrice: "abc"}, {MinPrice: "-1"}, {MaxPrice: "1.005", CurrencyCode: "BRL"}, {CurrencyCode: "XYZ"},
		{MinPrice: "999999999999999"}, {
			Sort: "best",
		}, {PageSize: -1}, {PageToken: "made-up"}, {PageToken: "eyJpIjoiYSJ9"}, {Query: strings.Repeat("a", 201)},
	} {
		_, err := h.client.SearchProducts(h.asVisitor(), in)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v: %v", in, err)
	}
	for _, productID := range []string{
		"x", "prd_", "prd_00000000000000000000000000000000", "'; drop table product; --",
	} {
		_, err := h.client.GetProduct(h.asVisitor(), &productv1.GetProductRequest{Id: productID})
		require.Equal(t, errs.NotFound, errs.CodeOf(err), productID)
	}
}

func TestCategoriesFormATree(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.asOperator()
	root, err := h.client.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "Home"})
	require.NoError(t, err)
	leaf, err := h.client.CreateCategory(ctx,
		&productv1.CreateCategoryRequest{Name: "Lamps", ParentId: root.GetCategory().GetId()})
	require.NoError(t, err)
	require.Equal(t, []string{"Home", "Lamps"}, leaf.GetCategory().GetPath())
	_, err = h.client.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "Home"})
	require.Equal(t, errs.AlreadyExists, errs.CodeOf(err))
	_, err = h.client.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "X", ParentId: "cat_none"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	shop, _ := h.shop("s")
	p := simple(shop, "p", "Lamp", 1)
	p.CategoryPath = []string{"Home", "Lamps", "Desk"}
	h.add(p)
	list, err := h.client.ListCategories(h.asVisitor(), &productv1.ListCategoriesRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetCategories(), 3)
	require.Equal(t, leaf.GetCategory().GetId(), list.GetCategories()[2].GetParentId())
}

func TestImportsFindCategoriesInAnySpelling(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, member := h.shop("s")
	at := func(path ...string) *productv1.ImportedProduct {
		p := simple("s", strings.Join(path, "-"), "Lamp", 1)
		p.CategoryPath = path
		return p
	}
	h.add(at("Home", "Café", "Lamps"))
	home, err := h.client.CreateCategory(h.asOperator(), &productv1.CreateCategoryRequest{Name: "\u00a0Toys "})
	require.NoError(t, err)
	require.Equal(t, "Toys", home.GetCategory().GetName())
	for name, ctx := range map[string]context.Context{"a member": h.AsUser(member), "an operator": h.asOperator()} {
		for _, p := range []*productv1.ImportedProduct{
			at("home", "CAFÉ", "lamps"), at(" Home\u00a0", "Cafe\u0301", "LAMPS"), at("HOME", "café", "Ｌamps"),
		} {
			out, err := h.client.ImportProducts(ctx,
				&productv1.ImportProductsRequest{Products: []*productv1.ImportedProduct{p}})
			require.NoError(t, err)
			require.Empty(t, out.GetResults()[0].GetUnknownCategory(), name)
			require.Equal(
				t,
				[]string{"Home", "Café", "Lamps"},
				h.get(out.GetResults()[0].GetProductId()).GetCategoryPath(),
				name,
			)
		}
	}
	h.add(at("Garden", "Tools"), at("garden", "tools"), at("garden", "Hoses"), at("toys"))
	list, err := h.client.ListCategories(h.asVisitor(), &productv1.ListCategoriesRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetCategories(), 7, "spellings that are new together are one category: %v", list)

	// A category in the very spelling is preferred, however many there are.
	other, err := h.client.CreateCategory(h.asOperator(), &productv1.CreateCategoryRequest{Name: "hOME"})
	require.NoError(t, err)
	require.Equal(t, other.GetCategory().GetId(), h.get(h.add(at("hOME"))[0]).GetCategoryId())
}

func TestShopUpdateChangesItsListings(t *testing.T) {
	t.Parallel()
	h := setup(t, cached(t)...)
	shop, _ := h.shop("s")
	productID := h.add(simple(shop, "p", "Lamp", 1))[0]
	// shows waits until the product shows the shop name; "" means that the product is not found. The cache learns of a
	// change a moment after the listing.
	shows := func(name string) {
		t.Helper()
		waittest.Until(t, func() bool {
			out, err := h.client.GetProduct(h.asVisitor(), &productv1.GetProductRequest{Id: productID})
			if name == "" {
				return errs.Is(err, errs.NotFound)
			}
			return err == nil && out.GetProduct().GetId() == productID && out.GetProduct().GetShopName() == name
		}, "the product does not show the shop %q", name)
	}
	h.shopUpdate(shop, "Renamed", "active", 3)
	shows("Renamed")
	h.shopUpdate(shop, "Old", "active", 2)
	require.Equal(t, "Renamed", h.get(productID).GetShopName())
	require.Zero(t, h.listed("Old"))
	h.shopUpdate(shop, "Renamed", "suspended", 4)
	shows("")
	waittest.Until(t, func() bool {
		return len(h.search(&productv1.SearchProductsRequest{}).GetProducts()) == 0
	}, "the search finds the product of a suspended shop")
	h.shopUpdate(shop, "Renamed", "active", 5)
	shows("Renamed")
}

// The test makes changes of all kinds, and then rebuilds the read model.
func TestRebuiltListingEqualsTheIncrementalOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	shop, _ := h.shop("s")
	other, _ := h.shop("o")
	var in []*productv1.ImportedProduct
	for i := range 30 {
		p := simple([]string{shop, other}[i%2], fmt.Sprint("p", i), fmt.Sprint("Lamp ", i), int64(i%3))
		p.CategoryPath = []string{"Home", fmt.Sprint("C", i%4)}
		in = append(in, p)
	}
	ids := h.add(in...)
	for i, productID := range ids {
		variantID := h.variantOf(productID)
		switch i % 5 {
		case 0:
			title := fmt.Sprint("Chair ", i)
			_, err := h.client.UpdateProduct(h.asOperator(),
				&productv1.UpdateProductRequest{Id: productID, Title: &title})
			require.NoError(t, err)
		case 1:
			_ = h.reserve(id.New(id.Order), line(variantID, 1))
		case 2:
			_, err := h.client.DeleteProduct(h.asOperator(), &productv1.DeleteProductRequest{Id: productID})
			require.NoError(t, err)
		case 3:
			_, err := h.client.SetStock(h.asOperator(),
				&productv1.SetStockRequest{VariantId: variantID, OnHand: pieces(int64(i % 2))})
			require.NoError(t, err)
		}
	}
	h.shopUpdate(other, "Other", "suspended", 2)
	dump := func() []string {
		return moduletest.Value[[]string](h.Service, `select array_agg(l::text order by product_id) from listing l`)
	}
	incremental := dump()
	require.Len(t, incremental, 24)
	_, err := h.Pool.Exec(ctx, `update listing set terms = '', title = 'wrong', visible = not visible`)
	require.NoError(t, err)
	n, err := h.Rebuild(ctx, product.Search, nil)
	require.NoError(t, err)
	require.Equal(t, 24, n)
	require.Equal(t, incremental, dump())
	_, err = h.Pool.Exec(ctx, `delete from listing`)
	require.NoError(t, err)
	_, err = h.Rebuild(ctx, product.Search, nil)
	require.NoError(t, err)
	require.Equal(t, incremental, dump())
}

func (h *harness) variantOf(productID string) string {
	return moduletest.Value[string](h.Service, `select id from variant where product_id = $1`, productID)
}

func TestConcurrentCreatesWithOneHandleMakeOneProduct(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.AsUser(member)
	created := 0
	for _, err := range moduletest.Concurrently(8, func(int) error {
		in := newProduct(shopID, "Lamp")
		in.Handle = "lamp"
		_, err := h.client.CreateProduct(ctx, in)
		return err
	}) {
		if err == nil {
			created++
			continue
		}
		require.Equal(t, errs.AlreadyExists, errs.CodeOf(err))
	}
	require.Equal(t, 1, created)
}

func TestProductIsFoundByShopAndHandle(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("lamps")
	h.shop("chairs")
	draft := simple("lamps", "draft", "Draft", 1)
	draft.Status = "draft"
	ids := h.add(simple("lamps", "лампа 2", "Lamp", 1), simple("chairs", "лампа 2", "Chair", 1), draft)
	get := func(ctx context.Context, shop, handle string) (*productv1.Product, error) {
		out, err := h.client.GetProductByHandle(ctx, &productv1.GetProductByHandleRequest{Shop: shop, Handle: handle})
		return out.GetProduct(), err
	}
	for shop, want := range map[string]string{"lamps": ids[0], shopID: ids[0], "chairs": ids[1]} {
		p, err := get(h.asVisitor(), shop, "лампа 2")
		require.NoError(t, err)
		require.Equal(t, want, p.GetId())
	}
	p, err := get(h.AsUser(member), "lamps", "draft")
	require.NoError(t, err)
	require.Equal(t, ids[2], p.GetId())
	for _, unknown := range [][2]string{{"lamps", "draft"}, {"lamps", "chair"}, {"sofas", "лампа 2"}} {
		_, err := get(h.asVisitor(), unknown[0], unknown[1])
		require.Equal(t, errs.NotFound, errs.CodeOf(err), unknown)
	}
	_, err = h.client.DeleteProduct(h.asOperator(), &productv1.DeleteProductRequest{Id: ids[0]})
	require.NoError(t, err)
	_, err = get(h.asVisitor(), "lamps", "лампа 2")
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
}
