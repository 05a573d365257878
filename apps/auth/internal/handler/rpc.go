// Package handler implements auth's contract.
package handler

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/auth/internal/domain"
	"souk/apps/auth/internal/service"
	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
)

// RPC is the gRPC server. The contract says who may call each method.
type RPC struct {
	authv1.UnimplementedAuthServiceServer
	service *service.Service
}

// New returns the server.
func New(s *service.Service) *RPC { return &RPC{service: s} }

// BeginLogin starts a sign-in.
//
// Errors: invalid_argument, unavailable, timeout.
func (r *RPC) BeginLogin(ctx context.Context, in *authv1.BeginLoginRequest) (*authv1.BeginLoginResponse, error) {
	begun, err := r.service.BeginLogin(ctx, service.Requested{
		ReturnTo: in.GetReturnTo(), RedirectURI: in.GetRedirectUri(), Device: in.GetDevice(), MaxAge: in.GetMaxAge(),
		Again: in.GetAgain(),
	})
	if err != nil {
		return nil, err
	}
	return &authv1.BeginLoginResponse{
		AuthorizeUrl: begun.AuthorizeURL, LoginCookie: begun.Cookie, Device: begun.Device,
	}, nil
}

// CompleteLogin opens a session.
//
// Errors: unauthenticated, sign_in_again, account_suspended, locked_out, unavailable, timeout.
func (r *RPC) CompleteLogin(
	ctx context.Context, in *authv1.CompleteLoginRequest,
) (*authv1.CompleteLoginResponse, error) {
	res, err := r.service.CompleteLogin(ctx, service.Returned{
		Code: in.GetCode(), State: in.GetState(), Cookie: in.GetLoginCookie(), Device: in.GetDevice(),
		GuestToken: in.GetGuestToken(), UserAgent: in.GetUserAgent(), Address: in.GetAddress(),
	})
	if err != nil {
		return nil, err
	}
	return &authv1.CompleteLoginResponse{
		SessionId: res.SessionID,
		ExpiresAt: timestamppb.New(res.Expires),
		ReturnTo:  res.ReturnTo,
		Device:    res.Device,
	}, nil
}

// Logout ends sessions.
//
// Errors: unavailable, unauthenticated (everywhere is set and the session has ended).
func (r *RPC) Logout(ctx context.Context, in *authv1.LogoutRequest) (*authv1.LogoutResponse, error) {
	endSessionURL, err := r.service.Logout(ctx, in.GetSessionId(), in.GetEverywhere(), in.GetPostLogoutRedirectUri())
	if err != nil {
		return nil, err
	}
	return &authv1.LogoutResponse{EndSessionUrl: endSessionURL}, nil
}

// CreateGuest issues a guest token.
//
// Errors: internal.
func (r *RPC) CreateGuest(context.Context, *authv1.CreateGuestRequest) (*authv1.CreateGuestResponse, error) {
	token, expires, err := r.service.CreateGuest()
	if err != nil {
		return nil, err
	}
	return &authv1.CreateGuestResponse{Token: token, ExpiresAt: timestamppb.New(expires)}, nil
}

// Authenticate returns the actor of a credential.
//
// Errors: unauthenticated, account_suspended, locked_out, unavailable, timeout.
func (r *RPC) Authenticate(ctx context.Context, in *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	var actor domain.Actor
	var err error
	switch c := in.GetCredential().(type) {
	case *authv1.AuthenticateRequest_Bearer:
		actor, err = r.service.BearerFrom(ctx, c.Bearer, in.GetAddress())
	case *authv1.AuthenticateRequest_SessionId:
		actor, err = r.service.Session(ctx, c.SessionId)
	default:
		err = errs.InvalidField("credential", "must be bearer or sessionId")
	}
	if err != nil {
		return nil, err
	}
	res := &authv1.AuthenticateResponse{
		Kind: string(identity.KindUser), SubjectId: actor.ID, Roles: actor.Roles, SessionId: actor.SessionID,
	}
	if actor.Guest {
		res.Kind = string(identity.KindGuest)
	}
	if k := actor.Key; k != nil {
		res.Kind, res.ShopId, res.Permissions = string(identity.KindKey), k.ShopID, k.Permissions
		res.AllowedAddresses, res.RatePerMinute = k.Addresses, int32(k.RatePerMinute) //nolint:gosec // by the contract
	}
	if !actor.RecentUntil.IsZero() {
		res.RecentUntil = timestamppb.New(actor.RecentUntil)
	}
	res.RecentSeconds = int64(r.service.RecentSignIn / time.Second)
	if !actor.ReusableUntil.IsZero() {
		res.ReusableUntil = timestamppb.New(actor.ReusableUntil)
	}
	return res, nil
}

// SetSuspension says whether a user is suspended.
//
// Errors: unavailable.
func (r *RPC) SetSuspension(
	ctx context.Context, in *authv1.SetSuspensionRequest,
) (*authv1.SetSuspensionResponse, error) {
	if err := r.service.SetSuspension(ctx, in.GetUserId(), in.GetSuspended(), in.GetRevision()); err != nil {
		return nil, err
	}
	return &authv1.SetSuspensionResponse{}, nil
}

// MergeGuest moves a guest's cart and orders to the caller.
//
// Errors: unauthenticated (the guest token), unavailable, timeout.
func (r *RPC) MergeGuest(ctx context.Context, in *authv1.MergeGuestRequest) (*authv1.MergeGuestResponse, error) {
	if err := r.service.MergeGuest(ctx, identity.FromContext(ctx).ID, in.GetGuestToken()); err != nil {
		return nil, err
	}
	return &authv1.MergeGuestResponse{}, nil
}
