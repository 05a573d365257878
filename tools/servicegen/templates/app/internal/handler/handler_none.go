//go:build none

// Package handler serves the sample service's contract.
package handler

import (
	"context"

	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/tools/servicegen/templates/app/internal/service"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

// RPC serves souk.sample.v1.SampleService. The contract says who may call which method.
type RPC struct {
	samplev1.UnimplementedSampleServiceServer
	service *service.Service
}

// New returns the server.
func New(s *service.Service) *RPC { return &RPC{service: s} }

// Split splits an amount into equal parts.
//
// Errors: invalid_argument.
func (r *RPC) Split(_ context.Context, req *samplev1.SplitRequest) (*samplev1.SplitResponse, error) {
	total, err := money.Parse(req.GetAmount(), req.GetCurrencyCode())
	if err != nil {
		return nil, errs.InvalidField("amount", "must be an amount of the currency, such as 10.00")
	}
	parts, err := r.service.Split(total, req.GetParts())
	if err != nil {
		return nil, err
	}
	res := &samplev1.SplitResponse{}
	for _, part := range parts {
		res.Parts = append(res.Parts, part.ToProto())
	}
	return res, nil
}
