package tests

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"souk/apps/product/internal/domain"
	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
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
	h := setup(t, func(o *options) { o.cached = true })
	shopID, member := h.shop("s")
	ctx := h.asUser(member)
	created, err := h.visitor.CreateProduct(ctx, newProduct(shopID, "Blue Lamp"))
	require.NoError(t, err)
	p := created.GetProduct()
	require.Equal(t, "blue-lamp", p.GetHandle())
	require.Equal(t, "Shop s", p.GetShopName())
	require.Equal(t, "15.50", p.GetPrice().GetAmount())
	require.Equal(t, "<b>Nice</b>'; drop table product; --", p.GetDescription())
	require.True(t, p.GetVariants()[0].GetAvailable())
	require.False(t, p.GetVariants()[1].GetAvailable())
	require.True(t, proto.Equal(p, h.get(p.GetId())))

	second, err := h.visitor.CreateProduct(ctx, func() *productv1.CreateProductRequest {
		in := newProduct(shopID, "Blue Lamp")
		in.Variants[0].Sku, in.Variants[1].Sku = "x", "y"
		return in
	}())
	require.NoError(t, err)
	require.NotEqual(t, "blue-lamp", second.GetProduct().GetHandle())

	title := "Green Lamp"
	updated, err := h.visitor.UpdateProduct(
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
	require.Equal(t, p.GetVariants()[1].GetId(), u.GetVariants()[0].GetId(), "a variant keeps its ID by its SKU")
	require.True(t, u.GetVariants()[0].GetAvailable())
	require.True(t, proto.Equal(u, h.get(p.GetId())), "the cache was invalidated")

	stock, err := h.visitor.SetStock(
		ctx,
		&productv1.SetStockRequest{VariantId: u.GetVariants()[1].GetId(), OnHand: pieces(4)},
	)
	require.NoError(t, err)
	require.EqualValues(t, 4, stock.GetStock().GetAvailable())
	require.True(t, h.get(p.GetId()).GetVariants()[1].GetAvailable())
	require.NoError(t, h.reserve(id.New(id.Order), line(u.GetVariants()[1].GetId(), 2)))
	_, err = h.visitor.SetStock(
		ctx,
		&productv1.SetStockRequest{VariantId: u.GetVariants()[1].GetId(), OnHand: pieces(1)},
	)
	require.Equal(t, errs.Conflict, errs.CodeOf(err))
	_, err = h.visitor.UpdateProduct(
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

	list, err := h.visitor.ListShopProducts(ctx, &productv1.ListShopProductsRequest{ShopId: "s", PageSize: 1})
	require.NoError(t, err)
	require.Len(t, list.GetProducts(), 1)
	require.NotEmpty(t, list.GetNextPageToken())
	list, err = h.visitor.ListShopProducts(
		ctx,
		&productv1.ListShopProductsRequest{ShopId: "s", PageSize: 1, PageToken: list.GetNextPageToken()},
	)
	require.NoError(t, err)
	require.Equal(t, p.GetId(), list.GetProducts()[0].GetProduct().GetId())
	require.EqualValues(t, 7, list.GetProducts()[0].GetStock()[0].GetOnHand())
	require.Empty(t, list.GetNextPageToken())

	_, err = h.visitor.DeleteProduct(ctx, &productv1.DeleteProductRequest{Id: p.GetId()})
	require.NoError(t, err)
	_, err = h.visitor.GetProduct(ctx, &productv1.GetProductRequest{Id: p.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	_, err = h.visitor.CreateProduct(ctx, newProduct(shopID, "Blue Lamp"))
	require.NoError(t, err, "handle and SKUs are free again")
	require.Equal(t, 1, h.events("evt.product.deleted"))
}

func TestProductsOfOtherShopsAreNotFound(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("mine")
	_, stranger := h.shop("theirs")
	in := newProduct(shopID, "Lamp")
	in.Status = "draft"
	created, err := h.visitor.CreateProduct(h.asUser(member), in)
	require.NoError(t, err)
	p := created.GetProduct()
	for who, ctx := range map[string]context.Context{"stranger": h.asUser(stranger), "visitor": h.asVisitor()} {
		_, err := h.visitor.GetProduct(ctx, &productv1.GetProductRequest{Id: p.GetId()})
		require.Equal(t, errs.NotFound, errs.CodeOf(err), who)
	}
	for who, ctx := range map[string]context.Context{"member": h.asUser(member), "operator": h.asOperator()} {
		_, err := h.visitor.GetProduct(ctx, &productv1.GetProductRequest{Id: p.GetId()})
		require.NoError(t, err, who)
	}
	ctx := h.asUser(stranger)
	title := "Mine now"
	calls := map[string]func() error{
		"create": func() error { _, err := h.visitor.CreateProduct(ctx, newProduct(shopID, "X")); return err },
		"update": func() error {
			_, err := h.visitor.UpdateProduct(ctx, &productv1.UpdateProductRequest{Id: p.GetId(), Title: &title})
			return err
		},
		"delete": func() error {
			_, err := h.visitor.DeleteProduct(ctx, &productv1.DeleteProductRequest{Id: p.GetId()})
			return err
		},
		"stock": func() error {
			_, err := h.visitor.SetStock(
				ctx,
				&productv1.SetStockRequest{VariantId: p.GetVariants()[0].GetId(), OnHand: pieces(0)},
			)
			return err
		},
		"list": func() error {
			_, err := h.visitor.ListShopProducts(ctx, &productv1.ListShopProductsRequest{ShopId: shopID})
			return err
		},
	}
	for name, call := range calls {
		require.Equal(t, errs.NotFound, errs.CodeOf(call()), name)
	}
	out, err := h.visitor.ImportProducts(
		ctx,
		&productv1.ImportProductsRequest{
			Products: []*productv1.ImportedProduct{simple("mine", "h", "T", 1), simple("theirs", "h", "T", 1)},
		},
	)
	require.NoError(t, err)
	require.Equal(t, "rejected", out.GetResults()[0].GetOutcome())
	require.Equal(t, "created", out.GetResults()[1].GetOutcome())
	_, err = h.visitor.ExportProducts(ctx, &productv1.ExportProductsRequest{})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err))
	_, err = h.visitor.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "X"})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err))
}

func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.asUser(member)
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
		_, err := h.visitor.CreateProduct(ctx, in)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%s: %v", name, err)
		require.NotEmpty(t, errs.From(err).Fields, name)
		require.True(
			t,
			strings.HasPrefix(errs.From(err).Fields[0].Path, test.field),
			"%s: %s",
			name,
			errs.From(err).Fields[0].Path,
		)
	}
	for name, in := range map[string]*productv1.CreateProductRequest{"shop": newProduct("shp_none", "L"), "category": func() *productv1.CreateProductRequest {
		in := newProduct(shopID, "L")
		in.CategoryId = "cat_none"
		return in
	}()} {
		_, err := h.visitor.CreateProduct(ctx, in)
		require.Equal(t, errs.NotFound, errs.CodeOf(err), name)
	}
	for _, in := range []*productv1.SearchProductsRequest{
		{Query: "a\x00"}, {CategoryId: "\x00"}, {ShopId: "\x00"}, {MinPrice: "abc"}, {MinPrice: "-1"}, {MaxPrice: "1.005", CurrencyCode: "BRL"}, {CurrencyCode: "XYZ"},
		{MinPrice: "999999999999999"}, {Sort: "best"}, {PageSize: -1}, {PageToken: "made-up"}, {PageToken: "eyJpIjoiYSJ9"}, {Query: strings.Repeat("a", 201)},
	} {
		_, err := h.visitor.SearchProducts(h.asVisitor(), in)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v: %v", in, err)
	}
	for _, productID := range []string{"x", "prd_", "prd_00000000000000000000000000000000", "'; drop table product; --", "prd_\x00"} {
		_, err := h.visitor.GetProduct(h.asVisitor(), &productv1.GetProductRequest{Id: productID})
		require.Equal(t, errs.NotFound, errs.CodeOf(err), productID)
	}
}

func TestCategoriesFormATree(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.asOperator()
	root, err := h.operator.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "Home"})
	require.NoError(t, err)
	leaf, err := h.operator.CreateCategory(
		ctx,
		&productv1.CreateCategoryRequest{Name: "Lamps", ParentId: root.GetCategory().GetId()},
	)
	require.NoError(t, err)
	require.Equal(t, []string{"Home", "Lamps"}, leaf.GetCategory().GetPath())
	_, err = h.operator.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "Home"})
	require.Equal(t, errs.AlreadyExists, errs.CodeOf(err))
	_, err = h.operator.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "X", ParentId: "cat_none"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	shop, _ := h.shop("s")
	p := simple(shop, "p", "Lamp", 1)
	p.CategoryPath = []string{"Home", "Lamps", "Desk"}
	h.add(p)
	list, err := h.visitor.ListCategories(h.asVisitor(), &productv1.ListCategoriesRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetCategories(), 3)
	require.Equal(t, leaf.GetCategory().GetId(), list.GetCategories()[2].GetParentId())
}

func TestShopUpdateChangesItsListings(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *options) { o.cached = true })
	shop, _ := h.shop("s")
	productID := h.add(simple(shop, "p", "Lamp", 1))[0]
	h.shopUpdate(domain.Shop{ID: shop, Handle: "s", Name: "Renamed", Status: "active", Version: 3})
	require.Equal(t, "Renamed", h.get(productID).GetShopName())
	h.shopUpdate(domain.Shop{ID: shop, Handle: "s", Name: "Old", Status: "active", Version: 2})
	require.Equal(t, "Renamed", h.get(productID).GetShopName())
	h.shopUpdate(domain.Shop{ID: shop, Handle: "s", Name: "Renamed", Status: "suspended", Version: 4})
	_, err := h.visitor.GetProduct(h.asVisitor(), &productv1.GetProductRequest{Id: productID})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	out, err := h.visitor.SearchProducts(h.asVisitor(), &productv1.SearchProductsRequest{})
	require.NoError(t, err)
	require.Empty(t, out.GetProducts())
	h.shopUpdate(domain.Shop{ID: shop, Handle: "s", Name: "Renamed", Status: "active", Version: 5})
	require.Equal(t, productID, h.get(productID).GetId())
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
			_, err := h.operator.UpdateProduct(
				h.asOperator(),
				&productv1.UpdateProductRequest{Id: productID, Title: &title},
			)
			require.NoError(t, err)
		case 1:
			_ = h.reserve(id.New(id.Order), line(variantID, 1))
		case 2:
			_, err := h.operator.DeleteProduct(h.asOperator(), &productv1.DeleteProductRequest{Id: productID})
			require.NoError(t, err)
		case 3:
			_, err := h.operator.SetStock(
				h.asOperator(),
				&productv1.SetStockRequest{VariantId: variantID, OnHand: pieces(int64(i % 2))},
			)
			require.NoError(t, err)
		}
	}
	h.shopUpdate(domain.Shop{ID: other, Handle: "o", Name: "Other", Status: "suspended", Version: 2})
	dump := func() (rows []string) {
		r, err := h.pool.Query(ctx, `select l::text from listing l order by product_id`)
		require.NoError(t, err)
		for r.Next() {
			var row string
			require.NoError(t, r.Scan(&row))
			rows = append(rows, row)
		}
		require.NoError(t, r.Err())
		return rows
	}
	incremental := dump()
	require.Len(t, incremental, 24)
	_, err := h.pool.Exec(ctx, `update listing set terms = '', title = 'wrong', visible = not visible`)
	require.NoError(t, err)
	n, err := h.store.Rebuild(ctx)
	require.NoError(t, err)
	require.Equal(t, 24, n)
	require.Equal(t, incremental, dump())
	_, err = h.pool.Exec(ctx, `delete from listing`)
	require.NoError(t, err)
	_, err = h.store.Rebuild(ctx)
	require.NoError(t, err)
	require.Equal(t, incremental, dump())
}

func (h *harness) variantOf(productID string) (variantID string) {
	require.NoError(
		h.t,
		h.pool.QueryRow(context.Background(), `select id from variant where product_id = $1`, productID).
			Scan(&variantID),
	)
	return variantID
}

func TestConcurrentCreatesWithOneHandleMakeOneProduct(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.asUser(member)
	var wg sync.WaitGroup
	codes := make([]errs.Code, 8)
	for i := range codes {
		wg.Go(func() {
			in := newProduct(shopID, "Lamp")
			in.Handle = "lamp"
			_, err := h.visitor.CreateProduct(ctx, in)
			codes[i] = errs.CodeOf(err)
		})
	}
	wg.Wait()
	created := 0
	for _, code := range codes {
		if code == "" {
			created++
			continue
		}
		require.Equal(t, errs.AlreadyExists, code)
	}
	require.Equal(t, 1, created)
}
