package tests

import (
	"testing"

	"go.uber.org/goleak"

	"souk/apps/address"
	addressv1 "souk/gen/go/souk/address/v1"
	"souk/pkg/moduletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the address service, and a client of it as the gateway.
type harness struct {
	*moduletest.Service
	address addressv1.AddressServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	s := moduletest.Start(t, address.Module, opts...)
	return &harness{Service: s, address: addressv1.NewAddressServiceClient(s.Client("gateway"))}
}
