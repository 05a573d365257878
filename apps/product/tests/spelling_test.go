package tests

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
)

// edged returns a text with white space of every kind around it.
func edged(s string) string {
	return " \t\r\n\v\u00a0\u0085\u2028\u3000\ufeff\u200b" + s + "\u2029\u00a0 \u200b"
}

func TestTextsThatIdentifyOrCompareAreTrimmedAndComposed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.AsUser(member)
	in := newProduct(shopID, "Lamp")
	in.Handle, in.Brand, in.ProductType = edged("cafe\u0301"), edged("Cafe\u0301"), edged("Lamp")
	in.Tags = []string{edged("red")}
	in.Images[0].Url, in.Images[0].Alt = edged(in.Images[0].Url), edged("front")
	in.OptionNames = []string{edged("Size")}
	for _, v := range in.Variants {
		v.Sku, v.Barcode = edged(v.Sku), proto.String(edged("4006381333931"))
		v.Options = map[string]string{edged("Size"): edged(v.Options["Size"])}
	}
	in.Variants[1].Options[edged("Title")] = edged("Default Title")
	created, err := h.client.CreateProduct(ctx, in)
	require.NoError(t, err)
	p := created.GetProduct()
	require.Equal(t, []string{"café", "Café", "Lamp"}, []string{p.GetHandle(), p.GetBrand(), p.GetProductType()})
	require.Equal(t, []string{"red"}, p.GetTags())
	require.Equal(t, "https://img.example/1.jpg front", p.GetImages()[0].GetUrl()+" "+p.GetImages()[0].GetAlt())
	require.Equal(t, []string{"Size"}, p.GetOptionNames())
	require.Equal(t, "A-Lamp 4006381333931", p.GetVariants()[0].GetSku()+" "+p.GetVariants()[0].GetBarcode())
	require.Equal(t, map[string]string{"Size": "M"}, p.GetVariants()[0].GetOptions())
	require.Equal(t, map[string]string{"Size": "L"}, p.GetVariants()[1].GetOptions(),
		"a file says by the title Default Title that a product has no options")

	found, err := h.client.GetProductByHandle(h.asVisitor(),
		&productv1.GetProductByHandleRequest{Shop: "s", Handle: "cafe\u0301"})
	require.NoError(t, err)
	require.Equal(t, p.GetId(), found.GetProduct().GetId())

	// An import of the same changes nothing, in whatever form it comes.
	exported := h.exportAll()
	h.importAll(exported)
	exported[0].Handle, exported[0].Variants[0].Sku = edged("cafe\u0301"), edged("A-Lamp")
	require.Equal(t, map[string]int{"unchanged": 1}, h.importAll(exported))

	variantID, sku := p.GetVariants()[0].GetId(), edged("A-2")
	updated, err := h.client.UpdateVariant(ctx, &productv1.UpdateVariantRequest{
		VariantId: variantID, Sku: &sku, Options: map[string]string{edged("Size"): edged("S")},
	})
	require.NoError(t, err)
	require.Equal(t, "A-2", updated.GetVariant().GetSku())
	require.Equal(t, map[string]string{"Size": "S"}, updated.GetVariant().GetOptions())
	changed, err := h.client.UpdateProduct(ctx, &productv1.UpdateProductRequest{
		Id: p.GetId(), Tags: []string{edged("blue")}, Variants: []*productv1.VariantInput{
			{Sku: edged("A-2"), Price: brl("1.00")},
		},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"blue"}, changed.GetProduct().GetTags())
	require.Len(t, changed.GetProduct().GetVariants(), 2)
}

func TestTextsThatAFileCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	for field, change := range map[string]func(*productv1.CreateProductRequest){
		"tags[1]":     func(in *productv1.CreateProductRequest) { in.Tags = []string{"new", "red, white"} },
		"tags[0]":     func(in *productv1.CreateProductRequest) { in.Tags = []string{"\u00a0"} },
		"optionNames": func(in *productv1.CreateProductRequest) { in.OptionNames = []string{"Size", "Size "} },
		"variants[0].options": func(in *productv1.CreateProductRequest) {
			in.Variants[0].Options = map[string]string{"Size": "M", "Size ": "L"}
		},
		"variants[1].options": func(in *productv1.CreateProductRequest) {
			in.Variants[1].Options = map[string]string{"Size": "\u2028"}
		},
		"variants[1].sku": func(in *productv1.CreateProductRequest) { in.Variants[1].Sku = "\t" },
	} {
		in := newProduct(shopID, "Lamp")
		change(in)
		_, err := h.client.CreateProduct(h.AsUser(member), in)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%s: %v", field, err)
		require.Equal(t, field, errs.From(err).Fields[0].Path)
	}
	tagged := simple("s", "a", "A", 1)
	tagged.Tags = []string{"red, white"}
	require.Equal(t, map[string]int{"rejected": 1}, h.importAll([]*productv1.ImportedProduct{tagged}))
}

// sized returns a product with a variant for each size, without SKUs.
func sized(sizes ...string) *productv1.ImportedProduct {
	p := polo(sizes...)
	for i, v := range p.GetVariants() {
		v.Options, v.Price = map[string]string{"Size": sizes[i]}, brl("10.00")
	}
	return p
}

func TestVariantsAreFoundByTheirOptionsInAnySpelling(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, member := h.shop("s")
	productID := h.add(polo("M 10.00", "Médio 10.00"))[0]
	ids, _ := sizes(h.get(productID))
	for _, spelling := range []string{"m", "\uff2d", " M\u3000", "Me\u0301dio", "MÉDIO", "ｍédio", "M"} {
		h.importAll([]*productv1.ImportedProduct{sized(spelling)})
		p := h.get(productID)
		require.Len(t, p.GetVariants(), 2, "%q", spelling)
	}
	p := h.get(productID)
	require.ElementsMatch(t, []string{ids["M"], ids["Médio"]},
		[]string{p.GetVariants()[0].GetId(), p.GetVariants()[1].GetId()})
	require.Equal(t, "M", p.GetVariants()[0].GetOptions()["Size"], "the last spelling")

	// A name of an option has one spelling in a product.
	lower := polo("M 11.00")
	lower.Variants[0].Options = map[string]string{"ｓize": "M"}
	h.importAll([]*productv1.ImportedProduct{lower})
	p = h.get(productID)
	require.Equal(t, []string{"Size"}, p.GetOptionNames())
	require.Equal(t, "11.00", p.GetVariants()[0].GetPrice().GetAmount())
	lower.OptionNames = []string{"size"}
	h.importAll([]*productv1.ImportedProduct{lower})
	p = h.get(productID)
	require.Equal(t, []string{"size"}, p.GetOptionNames())
	require.Contains(t, p.GetVariants()[1].GetOptions(), "size", "of the variants that the import does not list, too")
	out, err := h.client.UpdateVariant(h.AsUser(member), &productv1.UpdateVariantRequest{
		VariantId: ids["M"], Options: map[string]string{"SIZE": "XL"},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"size": "XL"}, out.GetVariant().GetOptions())

	// Two of one request are refused, and so is a change that makes two of them.
	require.Equal(t, map[string]int{"rejected": 1},
		h.importAll([]*productv1.ImportedProduct{sized("S", "ｓ")}))
	_, err = h.client.UpdateVariant(h.AsUser(member), &productv1.UpdateVariantRequest{
		VariantId: ids["M"], Options: map[string]string{"size": "mÉdio"},
	})
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
	require.True(t, strings.Contains(err.Error(), "the same options"), "%v", err)
	require.Len(t, h.get(productID).GetVariants(), 2)
}
