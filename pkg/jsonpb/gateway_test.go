package jsonpb_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/jsonpb"
)

type products struct {
	productv1.UnimplementedProductServiceServer
}

func (products) GetProduct(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
	return &productv1.GetProductResponse{Product: &productv1.Product{Id: r.GetId(), Title: "<Shirt>"}}, nil
}

func (products) SetStock(_ context.Context, r *productv1.SetStockRequest) (*productv1.SetStockResponse, error) {
	return &productv1.SetStockResponse{Stock: &productv1.Stock{VariantId: r.GetVariantId(), OnHand: r.GetOnHand()}}, nil
}

// TestGeneratedHandlersUseMarshalerAndRequestError runs both under the generated REST handlers.
func TestGeneratedHandlersUseMarshalerAndRequestError(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, target, body string
		want                 string
		wantErr              *errs.Error
	}{
		"response_body": {
			method: http.MethodGet,
			target: "/v1/products/prd_1",
			want:   string(jsonpb.AppendMessage(nil, &productv1.Product{Id: "prd_1", Title: "<Shirt>"})),
		},
		"body": {
			method: http.MethodPut, target: "/v1/variants/var_1/stock", body: `{"onHand":"12"}`,
			want: `{"variantId":"var_1","sku":"","onHand":"12","reserved":"0","available":"0"}`,
		},
		"wrong body": {
			method: http.MethodPut, target: "/v1/variants/var_1/stock", body: `{"onHand":"many"}`,
			wantErr: errs.InvalidField("onHand", "must be an integer of 64 bits"),
		},
		"wrong query": {
			method: http.MethodGet, target: "/v1/products?pageSize=many",
			wantErr: errs.InvalidField("pageSize", "does not have the right form"),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got error
			mux := runtime.NewServeMux(
				runtime.WithMarshalerOption(runtime.MIMEWildcard, jsonpb.Marshaler{}),
				runtime.WithErrorHandler(
					func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, _ http.ResponseWriter, _ *http.Request, err error) {
						got = err
					},
				),
			)
			require.NoError(t, productv1.RegisterProductServiceHandlerServer(t.Context(), mux, products{}))
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body)))
			if tt.wantErr != nil {
				var e *errs.Error
				require.ErrorAs(t, got, &e)
				require.Equal(t, tt.wantErr.Code, e.Code)
				require.Equal(t, tt.wantErr.Fields, e.Fields)
				return
			}
			require.NoError(t, got)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			body, err := io.ReadAll(w.Body)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(body))
		})
	}
}
