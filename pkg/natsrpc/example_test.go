package natsrpc_test

import (
	"fmt"

	"souk/pkg/natsrpc"
)

func ExampleSubject() {
	fmt.Println(natsrpc.Subject("/souk.order.v1.OrderService/Checkout"))
	// Output: rpc.order.v1.OrderService.Checkout
}
