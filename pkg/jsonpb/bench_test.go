package jsonpb_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/jsonpb"
)

// productList is a page of the catalogue: 20 products of about 1 KB of JSON each.
func productList() *productv1.SearchProductsResponse {
	at := timestamppb.Timestamp{Seconds: 1795377600, Nanos: 123456000}
	list := &productv1.SearchProductsResponse{NextPageToken: "eyJrIjoiMDE5M2ZhNGMifQ"}
	for i := range 20 {
		p := &productv1.Product{
			Id:           fmt.Sprintf("prd_0193fa4c-7d1e-7c3b-9a2f-%012d", i),
			ShopId:       "shp_0193fa4c-7d1e-7c3b-9a2f-1f2e3d4c5b6a",
			ShopName:     "Ateliê da Ana",
			Handle:       fmt.Sprintf("linen-shirt-%d", i),
			Title:        "Linen shirt with short sleeves",
			Description:  "<p>Woven in Minas Gerais from washed linen.</p>\n<p>Machine wash at 30 degrees.</p>",
			CategoryId:   "cat_0193fa4c-7d1e-7c3b-9a2f-1f2e3d4c5b6b",
			CategoryPath: []string{"Clothing", "Shirts"},
			Images:       []*productv1.Image{{Url: "https://img.example/products/linen-shirt-front.jpg", Alt: "Front"}},
			Status:       "active",
			Rating:       &productv1.Rating{Average: 4.5, Count: 12},
			Price:        &moneyv1.Money{CurrencyCode: "BRL", Amount: "53.98"},
			Tags:         []string{"linen", "summer"},
			CreatedAt:    &at,
			UpdatedAt:    &at,
		}
		for _, size := range []string{"M", "L"} {
			p.Variants = append(p.Variants, &productv1.Variant{
				Id:        "var_0193fa4c-7d1e-7c3b-9a2f-1f2e3d4c5b6c",
				Sku:       "LIN-" + size,
				Options:   map[string]string{"Size": size, "Color": "Sand"},
				Price:     &moneyv1.Money{CurrencyCode: "BRL", Amount: "53.98"},
				Available: true,
			})
		}
		list.Products = append(list.Products, p)
	}
	return list
}

func BenchmarkProductList(b *testing.B) {
	list := productList()
	run := func(name string, encode func() (int, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n, err := encode()
				require.NoError(b, err)
				b.SetBytes(int64(n))
			}
		})
	}
	var room []byte
	run("append", func() (int, error) {
		var err error
		room, err = jsonpb.Append(room[:0], list)
		return len(room), err
	})
	run("marshaler", func() (int, error) {
		out, err := jsonpb.Marshaler{}.Marshal(list)
		return len(out), err
	})
	encoder := jsonpb.Marshaler{}.NewEncoder(io.Discard)
	run("encoder", func() (int, error) { return len(room), encoder.Encode(list) })
	run("protojson", func() (int, error) {
		out, err := reference.Marshal(list)
		return len(out), err
	})
}
