package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
)

// detailed returns a product of an import that has every field.
func detailed(shop, handle string) *productv1.ImportedProduct {
	p := simple(shop, handle, "Lamp", 5)
	p.Status, p.Brand, p.ProductType = "active", proto.String("Aurora"), proto.String("Desk lamps")
	p.SeoTitle, p.SeoDescription = proto.String("A lamp"), proto.String("Buy a lamp")
	p.OptionNames = []string{"Size", "Colour"}
	v := p.Variants[0]
	v.Options = map[string]string{"Colour": "red", "Size": "M"}
	v.Barcode, v.WeightGrams, v.Cost = proto.String("7891000100103"), proto.Float64(453.592), brl("4.20")
	v.ImageUrl = proto.String("https://img.example/red.jpg")
	v.FurtherColumns = map[string]string{"Variant Taxable": "true", "Season": "Winter"}
	return p
}

func TestDetailsAreImportedShownAndExported(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	in := []*productv1.ImportedProduct{detailed("s", "lamp")}
	require.Equal(t, map[string]int{"created": 1}, h.importAll(in))
	require.Equal(t, map[string]int{"unchanged": 1}, h.importAll(in))
	exported := h.exportAll()
	require.Len(t, exported, 1)
	require.True(t, proto.Equal(in[0], exported[0]), "%v\n%v", in[0], exported[0])
	require.Equal(t, map[string]int{"unchanged": 1}, h.importAll(exported))

	list, err := h.client.ListShopProducts(h.AsUser(member), &productv1.ListShopProductsRequest{ShopId: shopID})
	require.NoError(t, err)
	require.Len(t, list.GetProducts(), 1)
	p := h.get(list.GetProducts()[0].GetProduct().GetId())
	require.Equal(t, "Aurora", p.GetBrand())
	require.Equal(t, "Desk lamps", p.GetProductType())
	require.Equal(t, "A lamp", p.GetSeoTitle())
	require.Equal(t, "Buy a lamp", p.GetSeoDescription())
	require.Equal(t, []string{"Size", "Colour"}, p.GetOptionNames())
	v := p.GetVariants()[0]
	require.Equal(t, "7891000100103", v.GetBarcode())
	require.InDelta(t, 453.592, v.GetWeightGrams(), 0)
	require.Equal(t, "https://img.example/red.jpg", v.GetImageUrl())

	// The cost and further columns are the shop's.
	require.Equal(t, "4.20", list.GetProducts()[0].GetCosts()[v.GetId()].GetAmount())
	public := fmt.Sprint(p)
	for _, secret := range []string{"4.20", "Winter", "Taxable"} {
		require.NotContains(t, public, secret)
	}
	found, err := h.client.SearchProducts(h.asVisitor(), &productv1.SearchProductsRequest{Query: "aurora"})
	require.NoError(t, err)
	require.Len(t, found.GetProducts(), 1)
	require.NotContains(t, fmt.Sprint(found), "4.20")
}

// A file without a column says nothing about it.
func TestImportKeepsDetailsThatItDoesNotName(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	full := detailed("s", "lamp")
	require.Equal(t, map[string]int{"created": 1}, h.importAll([]*productv1.ImportedProduct{full}))

	bare := simple("s", "lamp", "Lamp", 5)
	bare.Status, bare.Variants[0].Options = "active", full.GetVariants()[0].GetOptions()
	require.Equal(t, map[string]int{"unchanged": 1}, h.importAll([]*productv1.ImportedProduct{bare}))
	bare.Title, full.Title = "Another lamp", "Another lamp"
	require.Equal(t, map[string]int{"updated": 1}, h.importAll([]*productv1.ImportedProduct{bare}))
	require.True(t, proto.Equal(full, h.exportAll()[0]), "%v\n%v", full, h.exportAll()[0])

	for _, c := range []struct {
		name   string
		change func(in, want *productv1.ImportedProduct)
	}{
		{"brand", func(in, want *productv1.ImportedProduct) { in.Brand, want.Brand = proto.String(""), nil }},
		{"barcode", func(in, want *productv1.ImportedProduct) {
			in.Variants[0].Barcode, want.Variants[0].Barcode = proto.String(""), nil
		}},
		{"cost", func(in, want *productv1.ImportedProduct) {
			in.Variants[0].Cost, want.Variants[0].Cost = brl("0.00"), nil
		}},
		{"weight", func(in, want *productv1.ImportedProduct) {
			in.Variants[0].WeightGrams, want.Variants[0].WeightGrams = proto.Float64(0), nil
		}},
		{"a further column", func(in, want *productv1.ImportedProduct) {
			in.FurtherColumnNames = []string{"season", "Supplier"}
			in.Variants[0].FurtherColumns = map[string]string{"Supplier": "x"}
			delete(want.Variants[0].FurtherColumns, "Season")
			want.Variants[0].FurtherColumns["Supplier"] = "x"
		}},
		{"the case of a further column", func(in, want *productv1.ImportedProduct) {
			in.Variants[0].FurtherColumns = map[string]string{"VARIANT TAXABLE": "false"}
			want.Variants[0].FurtherColumns["Variant Taxable"] = "false"
		}},
		{"the order of options", func(in, want *productv1.ImportedProduct) {
			in.OptionNames, want.OptionNames = []string{"Colour"}, []string{"Colour", "Size"}
		}},
		{"the currency", func(in, want *productv1.ImportedProduct) {
			eur := brl("3.00")
			eur.CurrencyCode = "EUR"
			in.Variants[0].Price, want.Variants[0].Price, want.Variants[0].Cost = eur, eur, nil
		}},
	} {
		in := proto.Clone(bare).(*productv1.ImportedProduct)
		c.change(in, full)
		for _, outcome := range []string{"updated", "unchanged"} {
			require.Equal(t, map[string]int{outcome: 1}, h.importAll([]*productv1.ImportedProduct{in}), c.name)
			require.True(t, proto.Equal(full, h.exportAll()[0]), "%s: %v\n%v", c.name, full, h.exportAll()[0])
		}
		bare = proto.Clone(in).(*productv1.ImportedProduct)
		bare.Brand, bare.FurtherColumnNames, bare.OptionNames = nil, nil, nil
		bare.Variants[0].Barcode, bare.Variants[0].Cost, bare.Variants[0].WeightGrams = nil, nil, nil
		bare.Variants[0].FurtherColumns = nil
	}
}

func TestSellersWriteDetails(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.AsUser(member)
	in := newProduct(shopID, "Lamp")
	in.Brand, in.ProductType, in.SeoTitle, in.SeoDescription = "Aurora", "Lamps", "Title", "Summary"
	in.Variants[0].Cost, in.Variants[0].Barcode = brl("7.00"), proto.String("123")
	created, err := h.client.CreateProduct(ctx, in)
	require.NoError(t, err)
	require.Equal(t, "Aurora", created.GetProduct().GetBrand())
	require.NotContains(t, fmt.Sprint(created), "7.00")

	updated, err := h.client.UpdateProduct(ctx, &productv1.UpdateProductRequest{
		Id: created.GetProduct().GetId(), Brand: proto.String("Cerrado"), SeoTitle: proto.String(""),
	})
	require.NoError(t, err)
	p := updated.GetProduct()
	require.Equal(t, []string{"Cerrado", "Lamps", "", "Summary"},
		[]string{p.GetBrand(), p.GetProductType(), p.GetSeoTitle(), p.GetSeoDescription()})
	require.Equal(t, "123", p.GetVariants()[0].GetBarcode())
	require.Equal(t, "7.00", h.exportAll()[0].GetVariants()[0].GetCost().GetAmount())

	for field, change := range map[string]func(v *productv1.VariantInput){
		"variants[0].imageUrl":          func(v *productv1.VariantInput) { v.ImageUrl = proto.String("javascript:alert(1)") },
		"variants[0].barcode":           func(v *productv1.VariantInput) { v.Barcode = proto.String("a\x00") },
		"variants[0].cost.amount":       func(v *productv1.VariantInput) { v.Cost = brl("-1.00") },
		"variants[0].cost.currencyCode": func(v *productv1.VariantInput) { v.Cost = brl("1.00"); v.Cost.CurrencyCode = "EUR" },
		"variants[0].furtherColumns": func(v *productv1.VariantInput) {
			v.FurtherColumns = map[string]string{"x": strings.Repeat("y", 300<<10)}
		},
	} {
		in := newProduct(shopID, "Bad")
		change(in.GetVariants()[0])
		_, err := h.client.CreateProduct(ctx, in)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", field, err)
		require.Equal(t, field, errs.From(err).Fields[0].Path)
	}
}

// What one product can make souk keep is bounded, also over many imports.
func TestFurtherColumnsAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	for i := range 5 {
		p := simple("s", "lamp", "Lamp", 5)
		p.Variants[0].FurtherColumns = map[string]string{}
		for j := range 25 {
			p.Variants[0].FurtherColumns[fmt.Sprint("column ", i, "/", j)] = "x"
		}
		want := []string{"created", "updated", "updated", "updated", "rejected"}[i]
		require.Equal(t, map[string]int{want: 1}, h.importAll([]*productv1.ImportedProduct{p}), "%d", i)
	}
}

// A shop's export has its costs, so only its members and operators get it.
func TestMembersExportTheirShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	_, stranger := h.shop("other")
	in := []*productv1.ImportedProduct{detailed("s", "a"), detailed("other", "b"), detailed("s", "c")}
	in[2].Variants[0].Sku = "another"
	require.Equal(t, map[string]int{"created": 3}, h.importAll(in))
	for _, shop := range []string{shopID, "s"} {
		var handles []string
		for token := ""; ; {
			out, err := h.client.ExportShopProducts(h.AsUser(member),
				&productv1.ExportShopProductsRequest{ShopId: shop, PageSize: 1, PageToken: token})
			require.NoError(t, err)
			for _, p := range out.GetProducts() {
				handles = append(handles, p.GetHandle())
				require.Equal(t, "4.20", p.GetVariants()[0].GetCost().GetAmount())
			}
			if token = out.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Equal(t, []string{"a", "c"}, handles)
	}
	_, err := h.client.ExportShopProducts(h.AsUser(stranger), &productv1.ExportShopProductsRequest{ShopId: shopID})
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)
	_, err = h.client.ExportShopProducts(h.asOperator(), &productv1.ExportShopProductsRequest{ShopId: shopID})
	require.NoError(t, err)
}
