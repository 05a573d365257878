package event_test

import (
	"context"
	"fmt"
	"time"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/event"
)

func ExampleNew() {
	placed := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	e, err := event.New(context.Background(), "evt.order.created", "ord_1", 1, placed,
		&orderv1.OrderCreated{OrderId: "ord_1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := e.Msg("order") // the NATS message

	got, err := event.FromMsg(m.Subject, m.Header, m.Data)
	if err != nil {
		fmt.Println(err)
		return
	}
	var created orderv1.OrderCreated
	if err := got.Decode(&created); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(got.Subject, got.Type, created.GetOrderId())
	// Output: evt.order.created souk.order.v1.OrderCreated ord_1
}
