//go:build none

package sample

import (
	"context"

	"souk/pkg/errs"
	"souk/pkg/money"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

// RPC serves souk.sample.v1.SampleService. The contract says who may call which method.
type RPC struct {
	samplev1.UnimplementedSampleServiceServer
	maxParts int32
}

// NewRPC returns the server. It splits an amount into at most maxParts parts.
func NewRPC(maxParts int32) *RPC { return &RPC{maxParts: maxParts} }

// Split splits an amount into equal parts.
//
// Errors: invalid_argument.
func (r *RPC) Split(_ context.Context, req *samplev1.SplitRequest) (*samplev1.SplitResponse, error) {
	total, err := money.Parse(req.GetAmount(), req.GetCurrencyCode())
	if err != nil {
		return nil, errs.InvalidField("amount", "must be an amount of the currency, such as 10.00")
	}
	if req.GetParts() > r.maxParts {
		return nil, errs.InvalidField("parts", "must be at most %d", r.maxParts)
	}
	res := &samplev1.SplitResponse{}
	parts := Split(total, req.GetParts())
	for _, part := range parts {
		res.Parts = append(res.Parts, part.ToProto())
	}
	return res, nil
}
