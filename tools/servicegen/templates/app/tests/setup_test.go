package tests

import (
	"testing"

	"go.uber.org/goleak"

	"souk/pkg/moduletest"
	sample "souk/tools/servicegen/templates/app"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the sample service, and a client of it as the gateway.
type harness struct {
	*moduletest.Service
	sample samplev1.SampleServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	s := moduletest.Start(t, sample.Module, opts...)
	return &harness{Service: s, sample: samplev1.NewSampleServiceClient(s.Client("gateway"))}
}
