package rpc_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/identity"
	"souk/pkg/rpc"
	"souk/pkg/rpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func local(testing.TB) (server, client rpc.Transport) {
	l := rpc.NewLocal()
	return l, l
}

// TestLocalSharesReadOnlyReplies checks that only connections of ReadOnlyReplies share messages with the handler.
func TestLocalSharesReadOnlyReplies(t *testing.T) {
	t.Parallel()
	k := rpctest.Setup(t, local, nil)
	kept := &productv1.GetProductResponse{Product: &productv1.Product{Title: "kept"}}
	k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		return kept, nil
	}
	conn := k.Conn(identity.Gateway)
	ctx := k.User(t.Context(), t)
	request := &productv1.GetProductRequest{Id: "prd_1"}
	shared, err := productv1.NewProductServiceClient(rpc.ReadOnlyReplies(conn)).GetProduct(ctx, request)
	require.NoError(t, err)
	require.NotSame(t, kept, shared)
	require.Same(t, kept.GetProduct(), shared.GetProduct())
	copied, err := productv1.NewProductServiceClient(conn).GetProduct(ctx, request)
	require.NoError(t, err)
	require.NotSame(t, kept.GetProduct(), copied.GetProduct())
	require.Equal(t, "kept", copied.GetProduct().GetTitle())
}

func TestLocal(t *testing.T) {
	t.Parallel()
	rpctest.Run(t, local)
}
