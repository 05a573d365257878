package tests

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/jsonpb"
	"souk/pkg/moduletest"
	"souk/pkg/rpc"
)

// etag returns the ETag with which the gateway answers a product.
func (h *harness) etag(productID string) string {
	h.t.Helper()
	body, err := jsonpb.Append(nil, h.get(productID))
	require.NoError(h.t, err)
	return jsonpb.ETag(body)
}

func TestUpdateKeepsWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.AsUser(member)
	created, err := h.client.CreateProduct(ctx, newProduct(shopID, "Lamp"))
	require.NoError(t, err)
	p := created.GetProduct()
	update := func(in *productv1.UpdateProductRequest) *productv1.Product {
		in.Id = p.GetId()
		out, err := h.client.UpdateProduct(ctx, in)
		require.NoError(t, err)
		return out.GetProduct()
	}
	one := &productv1.VariantInput{Options: map[string]string{"Size": "L"}, Price: brl("16.00")}
	after := update(&productv1.UpdateProductRequest{Variants: []*productv1.VariantInput{one}})
	require.Len(t, after.GetVariants(), 2)
	require.Equal(t, p.GetVariants()[1].GetId(), after.GetVariants()[1].GetId(), "found by its options")
	require.Equal(t, "B-Lamp", after.GetVariants()[1].GetSku())
	require.Equal(t, "16.00", after.GetVariants()[1].GetPrice().GetAmount())
	require.Equal(t, "18.00", after.GetVariants()[1].GetCompareAtPrice().GetAmount())
	require.Equal(t, []string{"new"}, after.GetTags())

	mask := func(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }
	after = update(&productv1.UpdateProductRequest{UpdateMask: mask("tags", "images")})
	require.Empty(t, after.GetTags())
	require.Empty(t, after.GetImages())
	require.NotEmpty(t, after.GetDescription())
	title := "ignored"
	after = update(&productv1.UpdateProductRequest{Title: &title, UpdateMask: mask("description")})
	require.Equal(t, "Lamp", after.GetTitle())
	require.Empty(t, after.GetDescription())
	_, err = h.client.UpdateProduct(ctx, &productv1.UpdateProductRequest{Id: p.GetId(), UpdateMask: mask("colour")})
	require.Equal(t, errs.Invalid, errs.CodeOf(err))

	after = update(&productv1.UpdateProductRequest{Variants: []*productv1.VariantInput{one}, Replace: true})
	require.Len(t, after.GetVariants(), 1)
}

func TestVariantIsUpdatedByItsID(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	_, stranger := h.shop("other")
	ctx := h.AsUser(member)
	created, err := h.client.CreateProduct(ctx, newProduct(shopID, "Lamp"))
	require.NoError(t, err)
	p := created.GetProduct()
	variantID := p.GetVariants()[0].GetId()
	require.NoError(t, h.reserve(id.New(id.Order), line(variantID, 2)))

	sku := "NEW"
	out, err := h.client.UpdateVariant(ctx, &productv1.UpdateVariantRequest{VariantId: variantID, Sku: &sku})
	require.NoError(t, err)
	require.Equal(t, variantID, out.GetVariant().GetId())
	require.Equal(t, "NEW", out.GetVariant().GetSku())
	require.Equal(t, map[string]string{"Size": "M"}, out.GetVariant().GetOptions())
	onHand, reserved := h.stock(variantID)
	require.Equal(t, []int64{3, 2}, []int64{onHand, reserved})
	require.Len(t, h.get(p.GetId()).GetVariants(), 2)

	out, err = h.client.UpdateVariant(ctx, &productv1.UpdateVariantRequest{
		VariantId: variantID, Price: brl("30.00"), OnHand: pieces(9), Options: map[string]string{"Size": "XL"},
	})
	require.NoError(t, err)
	require.Equal(t, "30.00", out.GetVariant().GetPrice().GetAmount())
	require.Equal(t, "XL", out.GetVariant().GetOptions()["Size"])
	onHand, _ = h.stock(variantID)
	require.EqualValues(t, 9, onHand)
	barcode, weight := "4006381333931", 120.5
	out, err = h.client.UpdateVariant(ctx,
		&productv1.UpdateVariantRequest{VariantId: variantID, Barcode: &barcode, WeightGrams: &weight})
	require.NoError(t, err)
	require.Equal(t, barcode, out.GetVariant().GetBarcode())
	require.InDelta(t, weight, out.GetVariant().GetWeightGrams(), 0)
	require.Equal(t, "XL", out.GetVariant().GetOptions()["Size"])
	other := p.GetVariants()[1].GetId()
	out, err = h.client.UpdateVariant(ctx, &productv1.UpdateVariantRequest{
		VariantId: other, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"compare_at_price", "options"}},
	})
	require.NoError(t, err)
	require.Nil(t, out.GetVariant().CompareAtPrice)
	require.Empty(t, out.GetVariant().GetOptions())

	taken, blank := "B-Lamp", " "
	for name, c := range map[string]struct {
		in   *productv1.UpdateVariantRequest
		as   string
		want errs.Code
	}{
		"SKU of the product": {
			&productv1.UpdateVariantRequest{VariantId: variantID, Sku: &taken}, member, errs.Invalid,
		},
		"blank SKU": {
			&productv1.UpdateVariantRequest{VariantId: variantID, Sku: &blank}, member, errs.Invalid,
		},
		"fewer than are reserved": {
			&productv1.UpdateVariantRequest{VariantId: variantID, OnHand: pieces(1)}, member, errs.Conflict,
		},
		"another currency": {
			&productv1.UpdateVariantRequest{
				VariantId: variantID, Price: &moneyv1.Money{CurrencyCode: "EUR", Amount: "1.00"},
			},
			member, errs.Invalid,
		},
		"no price": {
			&productv1.UpdateVariantRequest{
				VariantId: variantID, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"price"}},
			},
			member, errs.Invalid,
		},
		"a stranger": {&productv1.UpdateVariantRequest{VariantId: variantID, Sku: &sku}, stranger, errs.NotFound},
		"no variant": {&productv1.UpdateVariantRequest{VariantId: "var_none", Sku: &sku}, member, errs.NotFound},
	} {
		_, err := h.client.UpdateVariant(h.AsUser(c.as), c.in)
		require.Equal(t, c.want, errs.CodeOf(err), "%s: %v", name, err)
	}
	second := newProduct(shopID, "Second")
	second.Variants[0].Sku = "TAKEN"
	_, err = h.client.CreateProduct(ctx, second)
	require.NoError(t, err)
	taken = "TAKEN"
	_, err = h.client.UpdateVariant(ctx, &productv1.UpdateVariantRequest{VariantId: variantID, Sku: &taken})
	require.Equal(t, errs.AlreadyExists, errs.CodeOf(err))
}

func TestOneOfTwoUpdatesWithTheSameETagIsMade(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, member := h.shop("s")
	ctx := h.AsUser(member)
	created, err := h.client.CreateProduct(ctx, newProduct(shopID, "Lamp"))
	require.NoError(t, err)
	p := created.GetProduct()
	etag := h.etag(p.GetId())
	results := make([]error, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			_, results[i] = h.client.UpdateProduct(ctx, &productv1.UpdateProductRequest{
				Id: p.GetId(), Title: proto.String(fmt.Sprint("Lamp ", i)), IfMatch: etag,
			})
		})
	}
	wg.Wait()
	made := 0
	for _, err := range results {
		if err == nil {
			made++
			continue
		}
		require.Equal(t, errs.PreconditionFailed, errs.CodeOf(err), "%v", err)
	}
	require.Equal(t, 1, made)

	sku := "X"
	_, err = h.client.UpdateVariant(ctx, &productv1.UpdateVariantRequest{
		VariantId: p.GetVariants()[0].GetId(), Sku: &sku, IfMatch: etag,
	})
	require.Equal(t, errs.PreconditionFailed, errs.CodeOf(err))
	_, err = h.client.DeleteProduct(ctx, &productv1.DeleteProductRequest{Id: p.GetId(), IfMatch: etag})
	require.Equal(t, errs.PreconditionFailed, errs.CodeOf(err))
	_, err = h.client.DeleteProduct(ctx,
		&productv1.DeleteProductRequest{Id: p.GetId(), IfMatch: `"other", W/` + h.etag(p.GetId())})
	require.NoError(t, err)
}

func TestStockIsAdjustedOncePerKey(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, member := h.shop("s")
	variantID := h.get(h.add(simple("s", "lamp", "Lamp", 10))[0]).GetVariants()[0].GetId()
	adjust := func(ctx context.Context, delta int64, reason string) (*productv1.Stock, error) {
		out, err := h.client.AdjustStock(ctx,
			&productv1.AdjustStockRequest{VariantId: variantID, Delta: delta, Reason: reason})
		return out.GetStock(), err
	}
	require.NoError(t, h.reserve(id.New(id.Order), line(variantID, 4)))
	keyed := rpc.WithIdempotencyKey(h.AsUser(member), "k1")
	var wg sync.WaitGroup
	for range 4 { // a client that got no answer sends it again
		wg.Go(func() {
			stock, err := adjust(keyed, 5, "delivery")
			require.NoError(t, err)
			require.EqualValues(t, 15, stock.GetOnHand())
		})
	}
	wg.Wait()
	_, err := adjust(keyed, 6, "delivery")
	require.Equal(t, errs.IdempotencyMismatch, errs.CodeOf(err))

	ctx := h.AsUser(member)
	stock, err := adjust(ctx, -3, "broken")
	require.NoError(t, err)
	require.Equal(t, []int64{12, 4, 8}, []int64{stock.GetOnHand(), stock.GetReserved(), stock.GetAvailable()})
	for delta, want := range map[int64]errs.Code{
		0: errs.Invalid, -9: errs.Conflict, -13: errs.Conflict,
		1_000_000_000: errs.Invalid, 2_000_000_000: errs.Invalid,
	} {
		_, err := adjust(ctx, delta, "")
		require.Equal(t, want, errs.CodeOf(err), "%d: %v", delta, err)
	}
	_, stranger := h.shop("other")
	_, err = adjust(h.AsUser(stranger), 1, "")
	require.Equal(t, errs.NotFound, errs.CodeOf(err))

	list, err := h.client.ListStockAdjustments(ctx, &productv1.ListStockAdjustmentsRequest{VariantId: variantID})
	require.NoError(t, err)
	require.Len(t, list.GetAdjustments(), 2)
	latest := list.GetAdjustments()[0]
	require.EqualValues(t, -3, latest.GetDelta())
	require.EqualValues(t, 12, latest.GetOnHand())
	require.Equal(t, "broken", latest.GetReason())
	require.Equal(t, member, latest.GetAdjustedBy())
	_, err = h.client.ListStockAdjustments(h.AsUser(stranger),
		&productv1.ListStockAdjustmentsRequest{VariantId: variantID})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))

	for range 105 {
		_, err := adjust(ctx, 1, "")
		require.NoError(t, err)
	}
	require.Equal(t, 100, moduletest.Value[int](h.Service, `select count(*) from stock_adjustment`))
}
