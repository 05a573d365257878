package settings

import (
	"context"

	"github.com/open-feature/go-sdk/openfeature"
	"google.golang.org/protobuf/types/known/timestamppb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/document"
	"souk/pkg/flag"
	"souk/pkg/identity"
	"souk/pkg/setting"
)

// ListFlags returns all flags.
//
// Errors: unavailable.
func (r *RPC) ListFlags(ctx context.Context, _ *settingsv1.ListFlagsRequest) (*settingsv1.ListFlagsResponse, error) {
	all, err := r.flags(ctx)
	return &settingsv1.ListFlagsResponse{Flags: all}, err
}

func (r *RPC) flags(ctx context.Context) ([]*settingsv1.Flag, error) {
	docs, err := r.Store.Flags(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*settingsv1.Flag, len(docs))
	for i, d := range docs {
		if out[i], err = flagToProto(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// UpdateFlag creates or replaces a flag.
//
// Errors: invalid_argument, conflict, unavailable.
func (r *RPC) UpdateFlag(
	ctx context.Context, in *settingsv1.UpdateFlagRequest,
) (*settingsv1.UpdateFlagResponse, error) {
	f := setting.FlagFromProto(&settingsv1.Flag{
		Key: in.GetKey(), Description: in.GetDescription(), Enabled: in.GetEnabled(), Variants: in.GetVariants(),
		DefaultVariant: in.GetDefaultVariant(), Rules: in.GetRules(), Rollout: in.GetRollout(),
	})
	if err := f.Validate(); err != nil {
		return nil, err
	}
	by := r.author(ctx)
	d, err := r.Store.PutFlag(ctx, Flag{Flag: f, UpdatedBy: by.ID, UpdatedAt: by.At}, in.ExpectedVersion)
	if err != nil {
		return nil, err
	}
	r.refresh(ctx)
	m, err := flagToProto(d)
	return &settingsv1.UpdateFlagResponse{Flag: m}, err
}

// DeleteFlag deletes a flag.
//
// Errors: not_found, unavailable.
func (r *RPC) DeleteFlag(
	ctx context.Context, in *settingsv1.DeleteFlagRequest,
) (*settingsv1.DeleteFlagResponse, error) {
	if err := r.Store.DeleteFlag(ctx, in.GetKey(), r.author(ctx)); err != nil {
		return nil, err
	}
	r.refresh(ctx)
	return &settingsv1.DeleteFlagResponse{}, nil
}

// GetMyFlags decides all flags for the caller, in memory.
func (r *RPC) GetMyFlags(
	ctx context.Context, in *settingsv1.GetMyFlagsRequest,
) (*settingsv1.GetMyFlagsResponse, error) {
	a := identity.FromContext(ctx)
	ctx = flag.NewContext(ctx, flag.Target{
		ID: a.ID, Roles: a.Roles, Country: in.GetCountry(), ShopID: in.GetShopId(),
	})
	values := map[string]any{}
	for _, key := range r.Client.Flags().Keys() {
		v, err := r.Features.ObjectValue(ctx, key, nil, openfeature.EvaluationContext{})
		if err != nil {
			continue // the flag was deleted meanwhile
		}
		values[key] = v
	}
	out, err := setting.ValuesToProto(values)
	return &settingsv1.GetMyFlagsResponse{Flags: out}, err
}

func flagToProto(d document.Doc[Flag]) (*settingsv1.Flag, error) {
	m, err := setting.FlagToProto(d.Value.Flag)
	if err != nil {
		return nil, err
	}
	m.Version, m.UpdatedBy, m.UpdatedAt = int32(d.Revision), d.Value.UpdatedBy, timestamppb.New(d.Value.UpdatedAt)
	return m, nil
}
