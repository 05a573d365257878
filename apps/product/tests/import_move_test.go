package tests

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
)

// withSKUs returns a product with a variant for each SKU, which is also its size.
func withSKUs(handle string, skus ...string) *productv1.ImportedProduct {
	p := &productv1.ImportedProduct{Shop: "s", Handle: handle, Title: handle}
	for i, sku := range skus {
		p.Variants = append(p.Variants, &productv1.VariantInput{
			Sku: sku, Options: map[string]string{"Size": sku}, Price: brl("10.00"), OnHand: pieces(int64(5 + i)),
		})
	}
	return p
}

func (h *harness) replaceAll(products ...*productv1.ImportedProduct) (outcomes []string) {
	h.t.Helper()
	out, err := h.client.ImportProducts(h.asOperator(),
		&productv1.ImportProductsRequest{Products: products, Replace: true})
	require.NoError(h.t, err)
	for _, r := range out.GetResults() {
		outcomes = append(outcomes, strings.TrimSpace(r.GetOutcome()+" "+r.GetReason()))
	}
	return outcomes
}

// bySKU returns the handles of exported products by their SKUs.
func (h *harness) bySKU() map[string]string {
	h.t.Helper()
	owner := map[string]string{}
	for _, p := range h.exportAll() {
		for _, v := range p.GetVariants() {
			owner[v.GetSku()] = p.GetHandle()
		}
	}
	return owner
}

func TestVariantsMoveToAnotherProductOfTheRequest(t *testing.T) {
	t.Parallel()
	for _, backwards := range []bool{false, true} {
		h := setup(t)
		h.shop("s")
		h.add(withSKUs("p1", "K1", "K2"), withSKUs("p2", "K3", "K4"))
		in := []*productv1.ImportedProduct{withSKUs("p1", "K1"), withSKUs("p2", "K3", "K2"), withSKUs("p3", "K4")}
		want := []string{"updated", "updated", "created"}
		if backwards {
			slices.Reverse(in)
			slices.Reverse(want)
		}
		require.Equal(t, want, h.replaceAll(in...))
		require.Equal(t, map[string]string{"K1": "p1", "K2": "p2", "K3": "p2", "K4": "p3"}, h.bySKU())
		require.Equal(t, []string{"unchanged", "unchanged", "unchanged"}, h.replaceAll(in...))
	}
}

// Otherwise the variant would be in no product.
func TestVariantStaysIfTheProductThatItMovesToIsRejected(t *testing.T) {
	t.Parallel()
	invalid := withSKUs("p2", "K2")
	invalid.Variants[0].Price = brl("0.00")
	untitled := withSKUs("p2", "K2")
	untitled.Title = ""
	for _, second := range []*productv1.ImportedProduct{invalid, untitled, withSKUs("p2", "K2", "K3")} {
		h := setup(t)
		h.shop("s")
		h.add(withSKUs("p1", "K1", "K2"), withSKUs("other", "K3"))
		outcomes := h.replaceAll(withSKUs("p1", "K1"), second)
		require.Equal(t, "unchanged", outcomes[0])
		require.Contains(t, outcomes[1], "rejected")
		require.Equal(t, map[string]string{"K1": "p1", "K2": "p1", "K3": "other"}, h.bySKU())
	}
}
