//go:build !none

// Package service implements the use cases of the sample service.
package service

import (
	"context"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/tools/servicegen/templates/app/internal/domain"
)

// Store stores gadgets. It finds what belongs to the owner, and nothing else.
type Store interface {
	// servicegen:each
	// CreateGadget stores a new gadget and appends the event.
	CreateGadget(ctx context.Context, v domain.Gadget, e event.Event) error
	// GetGadget returns a gadget.
	//
	// Errors: not_found.
	GetGadget(ctx context.Context, ownerID, gadgetID string) (domain.Gadget, error)
	// ListGadgets returns a page of gadgets and the next page's token.
	//
	// Errors: invalid_argument (a made-up token).
	ListGadgets(
		ctx context.Context, ownerID string, size int32, token string,
	) (page []domain.Gadget, next string, err error)
	// UpdateGadget lets f change a gadget, and appends the events that f returns.
	//
	// Errors: f's, not_found, conflict.
	UpdateGadget(
		ctx context.Context, ownerID, gadgetID string, f func(*domain.Gadget) ([]event.Event, error),
	) (domain.Gadget, error)
	// DeleteGadget deletes a gadget and appends the events that f returns.
	//
	// Errors: f's, not_found.
	DeleteGadget(
		ctx context.Context, ownerID, gadgetID string, f func(domain.Gadget) ([]event.Event, error),
	) error
	// servicegen:end
}

// Deps are what the service is built from.
type Deps struct {
	Store Store
	Clock clock.Clock
	// ReadOnly refuses all changes.
	ReadOnly bool
}

// Service implements the use cases.
type Service struct{ deps Deps }

// New returns the service.
func New(d Deps) *Service { return &Service{deps: d} }

// writable returns an error if the service is read-only.
//
// Errors: unavailable.
func (s *Service) writable() error {
	if s.deps.ReadOnly {
		return errs.New(errs.Unavailable, "changes are refused for the moment")
	}
	return nil
}
