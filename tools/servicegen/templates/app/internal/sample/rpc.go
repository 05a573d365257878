//go:build !none

package sample

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/identity"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

// RPC serves souk.sample.v1.SampleService. The contract says who may call which method.
type RPC struct {
	samplev1.UnimplementedSampleServiceServer
	store    *Store
	clock    clock.Clock
	readOnly bool
}

// NewRPC returns the server of a store. If readOnly is set, it refuses all changes.
func NewRPC(store *Store, c clock.Clock, readOnly bool) *RPC {
	return &RPC{store: store, clock: c, readOnly: readOnly}
}

// writable returns an error if the service is read-only.
//
// Errors: unavailable.
func (r *RPC) writable() error {
	if r.readOnly {
		return errs.New(errs.Unavailable, "changes are refused for the moment")
	}
	return nil
}

// servicegen:each

// CreateGadget creates a gadget of the caller.
//
// Errors: invalid_argument, unavailable.
func (r *RPC) CreateGadget(
	ctx context.Context, req *samplev1.CreateGadgetRequest,
) (*samplev1.CreateGadgetResponse, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	v, err := NewGadget(identity.FromContext(ctx).ID, req.GetName(), req.GetDescription(), r.clock.Now())
	if err != nil {
		return nil, err
	}
	created := &samplev1.GadgetCreated{GadgetId: v.ID, OwnerId: v.OwnerID}
	e, err := event.New(ctx, "evt.sample.gadget_created", v.ID, v.Version, v.CreatedAt, created)
	if err != nil {
		return nil, err
	}
	if err := r.store.CreateGadget(ctx, v, e); err != nil {
		return nil, err
	}
	return &samplev1.CreateGadgetResponse{Gadget: v.toProto()}, nil
}

// GetGadget returns a gadget of the caller.
//
// Errors: not_found.
func (r *RPC) GetGadget(
	ctx context.Context, req *samplev1.GetGadgetRequest,
) (*samplev1.GetGadgetResponse, error) {
	v, err := r.store.GetGadget(ctx, identity.FromContext(ctx).ID, req.GetId())
	if err != nil {
		return nil, err
	}
	return &samplev1.GetGadgetResponse{Gadget: v.toProto()}, nil
}

// ListGadgets lists the caller's gadgets, oldest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListGadgets(
	ctx context.Context, req *samplev1.ListGadgetsRequest,
) (*samplev1.ListGadgetsResponse, error) {
	owner := identity.FromContext(ctx).ID
	found, next, err := r.store.ListGadgets(ctx, owner, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &samplev1.ListGadgetsResponse{NextPageToken: next}
	for _, v := range found {
		res.Gadgets = append(res.Gadgets, v.toProto())
	}
	return res, nil
}

// UpdateGadget changes a gadget of the caller.
//
// Errors: invalid_argument, not_found, conflict, unavailable.
func (r *RPC) UpdateGadget(
	ctx context.Context, req *samplev1.UpdateGadgetRequest,
) (*samplev1.UpdateGadgetResponse, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	c := GadgetChange{Name: req.Name, Description: req.Description}
	change := func(v *Gadget) ([]event.Event, error) {
		changed, err := v.Apply(c, r.clock.Now())
		if err != nil || !changed {
			return nil, err
		}
		updated := &samplev1.GadgetUpdated{GadgetId: v.ID, OwnerId: v.OwnerID}
		e, err := event.New(ctx, "evt.sample.gadget_updated", v.ID, v.Version, v.UpdatedAt, updated)
		return []event.Event{e}, err
	}
	v, err := r.store.UpdateGadget(ctx, identity.FromContext(ctx).ID, req.GetId(), change)
	if err != nil {
		return nil, err
	}
	return &samplev1.UpdateGadgetResponse{Gadget: v.toProto()}, nil
}

// DeleteGadget deletes a gadget of the caller.
//
// Errors: not_found, unavailable.
func (r *RPC) DeleteGadget(
	ctx context.Context, req *samplev1.DeleteGadgetRequest,
) (*samplev1.DeleteGadgetResponse, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	owner, now := identity.FromContext(ctx).ID, r.clock.Now()
	events := func(v Gadget) ([]event.Event, error) {
		deleted := &samplev1.GadgetDeleted{GadgetId: v.ID, OwnerId: v.OwnerID}
		e, err := event.New(ctx, "evt.sample.gadget_deleted", v.ID, v.Version+1, now, deleted)
		return []event.Event{e}, err
	}
	return &samplev1.DeleteGadgetResponse{}, r.store.DeleteGadget(ctx, owner, req.GetId(), events)
}

func (v Gadget) toProto() *samplev1.Gadget {
	return &samplev1.Gadget{
		Id:          v.ID,
		Name:        v.Name,
		Description: v.Description,
		CreatedAt:   timestamppb.New(v.CreatedAt),
		UpdatedAt:   timestamppb.New(v.UpdatedAt),
	}
}

// servicegen:end
