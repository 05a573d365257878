//go:build !none

package service

import (
	"context"

	"souk/pkg/event"
	"souk/tools/servicegen/templates/app/internal/domain"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

// CreateGadget creates a gadget of the owner.
//
// Errors: invalid_argument, unavailable.
func (s *Service) CreateGadget(
	ctx context.Context, ownerID, name, description string,
) (domain.Gadget, error) {
	if err := s.writable(); err != nil {
		return domain.Gadget{}, err
	}
	v, err := domain.NewGadget(ownerID, name, description, s.deps.Clock.Now())
	if err != nil {
		return domain.Gadget{}, err
	}
	created := &samplev1.GadgetCreated{GadgetId: v.ID, OwnerId: v.OwnerID}
	e, err := event.New(ctx, "evt.sample.gadget_created", v.ID, v.Version, v.CreatedAt, created)
	if err != nil {
		return domain.Gadget{}, err
	}
	return v, s.deps.Store.CreateGadget(ctx, v, e)
}

// GetGadget returns a gadget of the owner.
//
// Errors: not_found.
func (s *Service) GetGadget(
	ctx context.Context, ownerID, gadgetID string,
) (domain.Gadget, error) {
	return s.deps.Store.GetGadget(ctx, ownerID, gadgetID)
}

// ListGadgets returns a page of the owner's gadgets, oldest first, and the token of the next page.
//
// Errors: invalid_argument (a made-up token).
func (s *Service) ListGadgets(
	ctx context.Context, ownerID string, size int32, token string,
) ([]domain.Gadget, string, error) {
	return s.deps.Store.ListGadgets(ctx, ownerID, size, token)
}

// UpdateGadget changes a gadget of the owner.
//
// Errors: invalid_argument, not_found, conflict, unavailable.
func (s *Service) UpdateGadget(
	ctx context.Context, ownerID, gadgetID string, c domain.GadgetChange,
) (domain.Gadget, error) {
	if err := s.writable(); err != nil {
		return domain.Gadget{}, err
	}
	change := func(v *domain.Gadget) ([]event.Event, error) {
		changed, err := v.Apply(c, s.deps.Clock.Now())
		if err != nil || !changed {
			return nil, err
		}
		updated := &samplev1.GadgetUpdated{GadgetId: v.ID, OwnerId: v.OwnerID}
		e, err := event.New(ctx, "evt.sample.gadget_updated", v.ID, v.Version, v.UpdatedAt, updated)
		return []event.Event{e}, err
	}
	return s.deps.Store.UpdateGadget(ctx, ownerID, gadgetID, change)
}

// DeleteGadget deletes a gadget of the owner.
//
// Errors: not_found, unavailable.
func (s *Service) DeleteGadget(ctx context.Context, ownerID, gadgetID string) error {
	if err := s.writable(); err != nil {
		return err
	}
	now := s.deps.Clock.Now()
	events := func(v domain.Gadget) ([]event.Event, error) {
		deleted := &samplev1.GadgetDeleted{GadgetId: v.ID, OwnerId: v.OwnerID}
		e, err := event.New(ctx, "evt.sample.gadget_deleted", v.ID, v.Version+1, now, deleted)
		return []event.Event{e}, err
	}
	return s.deps.Store.DeleteGadget(ctx, ownerID, gadgetID, events)
}
