package rest

import (
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
)

func TestLocationNamesTheCreatedResource(t *testing.T) {
	t.Parallel()
	response := &orderv1.CheckoutResponse{Order: &orderv1.Order{Id: "ord_1"}}
	l, err := locationOf("/v1/orders/{order.id}", response.ProtoReflect().Descriptor())
	require.NoError(t, err)
	require.Equal(t, "/v1/orders/ord_1", l.of(response))
	require.Equal(t, "/v1/orders/", l.of(&orderv1.CheckoutResponse{}), "a missing message has empty fields")

	fixed, err := locationOf("/v1/cart", response.ProtoReflect().Descriptor())
	require.NoError(t, err)
	require.Equal(t, "/v1/cart", fixed.of(response))

	none, err := locationOf("", response.ProtoReflect().Descriptor())
	require.NoError(t, err)
	require.Nil(t, none)
}

func TestInvalidLocationsAreRefused(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"/v1/orders/{order.id":       "one field",
		"/v1/orders/order.id}":       "one field",
		"/v1/{order.id}/{order.id}":  "one field",
		"/v1/orders/{order.nothing}": `no single field "nothing"`,
		"/v1/orders/{order}":         "order is not a text",
		"/v1/orders/{order.id.x}":    "id has no fields",
	} {
		_, err := locationOf(template, (&orderv1.CheckoutResponse{}).ProtoReflect().Descriptor())
		require.ErrorContains(t, err, want, template)
	}
}
