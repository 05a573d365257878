package rpc_test

import (
	"context"
	"fmt"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/rpc"
)

type catalogue struct {
	productv1.UnimplementedProductServiceServer
}

func (catalogue) GetProduct(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
	if r.GetId() != "prd_1" {
		return nil, errs.New(errs.NotFound, "there is no such product")
	}
	return &productv1.GetProductResponse{Product: &productv1.Product{Id: "prd_1", Title: "A lamp"}}, nil
}

func Example() {
	ctx := context.Background()
	transport := rpc.NewLocal() // or natsrpc.New(conn, natsrpc.Options{})

	server := rpc.NewServer(rpc.ServerOptions{Service: "product"})
	productv1.RegisterProductServiceServer(server, catalogue{})
	stop, err := transport.Serve(ctx, server)
	if err != nil {
		fmt.Println(err)
		return
	}

	products := productv1.NewProductServiceClient(rpc.NewClient(transport.Conn(), rpc.ClientOptions{Service: "order"}))
	for _, id := range []string{"prd_1", "prd_2", ""} {
		answer, err := products.GetProduct(ctx, &productv1.GetProductRequest{Id: id})
		fmt.Println(answer.GetProduct().GetTitle(), err)
	}
	fmt.Println(stop(ctx))
	// Output:
	// A lamp <nil>
	//  not_found: there is no such product
	//  invalid_argument: id: must not be empty
	// <nil>
}
