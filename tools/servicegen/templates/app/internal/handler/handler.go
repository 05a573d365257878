//go:build !none

// Package handler serves the sample service's contract.
package handler

import (
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
