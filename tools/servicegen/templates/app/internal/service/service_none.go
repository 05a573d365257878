//go:build none

// Package service implements the use cases of the sample service.
package service

import (
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/tools/servicegen/templates/app/internal/domain"
)

// Service implements the use cases.
type Service struct{ maxParts int32 }

// New returns the service. It splits an amount into at most maxParts parts.
func New(maxParts int32) *Service { return &Service{maxParts: maxParts} }

// Split splits an amount into equal parts.
//
// Errors: invalid_argument.
func (s *Service) Split(total money.Money, parts int32) ([]money.Money, error) {
	if parts > s.maxParts {
		return nil, errs.InvalidField("parts", "must be at most %d", s.maxParts)
	}
	return domain.Split(total, parts), nil
}
