//go:build !none

package handler

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/pkg/identity"
	"souk/tools/servicegen/templates/app/internal/domain"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

// CreateGadget creates a gadget of the caller.
//
// Errors: invalid_argument, unavailable.
func (r *RPC) CreateGadget(
	ctx context.Context, req *samplev1.CreateGadgetRequest,
) (*samplev1.CreateGadgetResponse, error) {
	v, err := r.service.CreateGadget(ctx, identity.FromContext(ctx).ID, req.GetName(), req.GetDescription())
	if err != nil {
		return nil, err
	}
	return &samplev1.CreateGadgetResponse{Gadget: gadgetToProto(v)}, nil
}

// GetGadget returns a gadget of the caller.
//
// Errors: not_found.
func (r *RPC) GetGadget(
	ctx context.Context, req *samplev1.GetGadgetRequest,
) (*samplev1.GetGadgetResponse, error) {
	v, err := r.service.GetGadget(ctx, identity.FromContext(ctx).ID, req.GetId())
	if err != nil {
		return nil, err
	}
	return &samplev1.GetGadgetResponse{Gadget: gadgetToProto(v)}, nil
}

// ListGadgets lists the caller's gadgets, oldest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListGadgets(
	ctx context.Context, req *samplev1.ListGadgetsRequest,
) (*samplev1.ListGadgetsResponse, error) {
	owner := identity.FromContext(ctx).ID
	found, next, err := r.service.ListGadgets(ctx, owner, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &samplev1.ListGadgetsResponse{NextPageToken: next}
	for _, v := range found {
		res.Gadgets = append(res.Gadgets, gadgetToProto(v))
	}
	return res, nil
}

// UpdateGadget changes a gadget of the caller.
//
// Errors: invalid_argument, not_found, conflict, unavailable.
func (r *RPC) UpdateGadget(
	ctx context.Context, req *samplev1.UpdateGadgetRequest,
) (*samplev1.UpdateGadgetResponse, error) {
	c := domain.GadgetChange{Name: req.Name, Description: req.Description}
	v, err := r.service.UpdateGadget(ctx, identity.FromContext(ctx).ID, req.GetId(), c)
	if err != nil {
		return nil, err
	}
	return &samplev1.UpdateGadgetResponse{Gadget: gadgetToProto(v)}, nil
}

// DeleteGadget deletes a gadget of the caller.
//
// Errors: not_found, unavailable.
func (r *RPC) DeleteGadget(
	ctx context.Context, req *samplev1.DeleteGadgetRequest,
) (*samplev1.DeleteGadgetResponse, error) {
	owner := identity.FromContext(ctx).ID
	return &samplev1.DeleteGadgetResponse{}, r.service.DeleteGadget(ctx, owner, req.GetId())
}

func gadgetToProto(v domain.Gadget) *samplev1.Gadget {
	return &samplev1.Gadget{
		Id:          v.ID,
		Name:        v.Name,
		Description: v.Description,
		CreatedAt:   timestamppb.New(v.CreatedAt),
		UpdatedAt:   timestamppb.New(v.UpdatedAt),
	}
}
