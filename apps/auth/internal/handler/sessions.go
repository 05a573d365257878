package handler

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/identity"
)

// ListSessions returns the caller's sessions.
//
// Errors: unavailable, timeout.
func (r *RPC) ListSessions(ctx context.Context, _ *authv1.ListSessionsRequest) (*authv1.ListSessionsResponse, error) {
	caller := identity.FromContext(ctx)
	all, err := r.service.ListSessions(ctx, caller.ID)
	if err != nil {
		return nil, err
	}
	res := &authv1.ListSessionsResponse{}
	for _, s := range all {
		res.Sessions = append(res.Sessions, &authv1.Session{
			Id: s.ID, CreatedAt: timestamppb.New(s.Created), LastUsedAt: timestamppb.New(s.Seen),
			ExpiresAt: timestamppb.New(s.Expires), Browser: s.Browser, Address: s.Address,
			Current: s.ID == caller.SessionID,
		})
	}
	return res, nil
}

// EndSession ends one of the caller's sessions.
//
// Errors: not_found, unavailable, timeout.
func (r *RPC) EndSession(ctx context.Context, in *authv1.EndSessionRequest) (*authv1.EndSessionResponse, error) {
	if err := r.service.EndSession(ctx, identity.FromContext(ctx).ID, in.GetId()); err != nil {
		return nil, err
	}
	return &authv1.EndSessionResponse{}, nil
}

// EndOtherSessions ends the caller's sessions but the one of the call.
//
// Errors: unavailable, timeout.
func (r *RPC) EndOtherSessions(
	ctx context.Context, _ *authv1.EndOtherSessionsRequest,
) (*authv1.EndOtherSessionsResponse, error) {
	caller := identity.FromContext(ctx)
	ended, err := r.service.EndSessions(ctx, caller.ID, caller.SessionID)
	if err != nil {
		return nil, err
	}
	return &authv1.EndOtherSessionsResponse{Ended: int32(ended)}, nil //nolint:gosec // at most the sessions of a user
}

// EndSessions ends the sessions of a user.
//
// Errors: unavailable, timeout.
func (r *RPC) EndSessions(ctx context.Context, in *authv1.EndSessionsRequest) (*authv1.EndSessionsResponse, error) {
	ended, err := r.service.EndSessions(ctx, in.GetUserId(), "")
	if err != nil {
		return nil, err
	}
	return &authv1.EndSessionsResponse{Ended: int32(ended)}, nil //nolint:gosec // at most the sessions of a user
}
