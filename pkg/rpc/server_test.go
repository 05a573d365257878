package rpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/rpc"
	"souk/pkg/rpc/rpctest"
)

func TestServerErrReportsInvalidRegistrations(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(rpc.ServerOptions{Service: "health"})
	require.NoError(t, s.Err())
	grpc_health_v1.RegisterHealthServer(s, grpc_health_v1.UnimplementedHealthServer{})
	require.ErrorContains(t, s.Err(), "/grpc.health.v1.Health/Check has no option (souk.options.v1.access)")
	require.ErrorContains(t, s.Err(), "/grpc.health.v1.Health/Watch is a stream")
	_, err := rpc.NewLocal().Serve(t.Context(), s)
	require.ErrorContains(t, err, "Check has no option")

	s = rpc.NewServer(rpc.ServerOptions{Service: "product"})
	s.RegisterService(&productv1.ProductService_ServiceDesc, "not a product service")
	require.ErrorContains(t, s.Err(), "string does not implement souk.product.v1.ProductService")

	s = rpc.NewServer(rpc.ServerOptions{Service: "product"})
	s.RegisterService(
		&grpc.ServiceDesc{ServiceName: "souk.none.v1.NoneService", Methods: []grpc.MethodDesc{{MethodName: "M"}}},
		nil,
	)
	require.ErrorContains(t, s.Err(), "souk.none.v1.NoneService")
}

func TestMethodsReflectTheContract(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(rpc.ServerOptions{Service: "product"})
	productv1.RegisterProductServiceServer(s, &rpctest.Product{})
	require.NoError(t, s.Err())
	byName := map[string]rpc.Method{}
	for _, m := range s.Methods() {
		byName[m.Name] = m
	}
	require.Len(t, byName, len(productv1.ProductService_ServiceDesc.Methods))
	m := byName["GetProduct"]
	require.Equal(t, "/souk.product.v1.ProductService/GetProduct", m.FullMethod)
	require.Equal(t, "souk.product.v1.ProductService", m.Service)
	require.True(t, m.Idempotent)
	require.Equal(t, rpc.DefaultTimeout, m.Timeout)
	require.False(t, byName["CreateProduct"].Idempotent)
	require.Equal(t, 30*time.Second, byName["ImportProducts"].Timeout)
	require.Equal(t, []string{"order"}, byName["ReserveInventory"].Access.GetServices())
	require.Equal(t, "product", rpc.Target(m.FullMethod))
}

func TestFindMethodOfUnknownNameFails(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", "/", "nonsense", "/souk.product.v1.ProductService/Nope", "/souk.nope.v1.Nope/Get",
		"/souk.product.v1.Product/Get",
	} {
		_, err := rpc.FindMethod(name)
		require.Error(t, err, name)
	}
}

func TestLocalServesAServiceOnce(t *testing.T) {
	t.Parallel()
	l := rpc.NewLocal()
	serve := func() (func(context.Context) error, error) {
		s := rpc.NewServer(rpc.ServerOptions{Service: "product"})
		productv1.RegisterProductServiceServer(s, &rpctest.Product{})
		return l.Serve(t.Context(), s)
	}
	stop, err := serve()
	require.NoError(t, err)
	_, err = serve()
	require.ErrorContains(t, err, "served already")
	require.NoError(t, stop(t.Context()))
	stop, err = serve()
	require.NoError(t, err, "again after the stop")
	require.NoError(t, stop(t.Context()))
}

// rawError is a connection whose calls fail with err.
type rawError struct{ err error }

func (r rawError) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return r.err }

func (r rawError) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, r.err
}

func TestClientCodesForeignErrors(t *testing.T) {
	t.Parallel()
	for want, raw := range map[errs.Code]error{
		errs.NotFound: status.Error(codes.NotFound, "no"),
		errs.Timeout:  context.DeadlineExceeded,
		errs.Internal: status.Error(codes.DataLoss, "lost"),
	} {
		conn := rpc.NewClient(rawError{raw}, rpc.ClientOptions{Service: "order"})
		_, err := productv1.NewProductServiceClient(conn).GetProduct(t.Context(), &productv1.GetProductRequest{Id: "1"})
		var coded *errs.Error
		require.ErrorAs(t, err, &coded)
		require.Equal(t, want, coded.Code)
	}
}

func TestStreamsAreUnimplemented(t *testing.T) {
	t.Parallel()
	for _, conn := range []grpc.ClientConnInterface{
		rpc.NewLocal(), rpc.NewClient(rpc.NewLocal(), rpc.ClientOptions{}),
	} {
		_, err := conn.NewStream(t.Context(), nil, "/souk.product.v1.ProductService/GetProduct")
		require.Equal(t, errs.Unimplemented, errs.CodeOf(err))
		err = conn.Invoke(t.Context(), "/souk.product.v1.ProductService/Nope", &productv1.GetProductRequest{},
			&productv1.GetProductResponse{})
		require.Error(t, err)
	}
}

func TestContextCarriesIdempotencyKeyAndRequestID(t *testing.T) {
	t.Parallel()
	ctx := rpc.WithIdempotencyKey(t.Context(), "k")
	ctx = rpc.WithRequestID(ctx, "r")
	require.Equal(t, "k", rpc.IdempotencyKey(ctx))
	require.Equal(t, "r", rpc.RequestID(ctx))
	require.Empty(t, rpc.IdempotencyKey(t.Context()))
}
