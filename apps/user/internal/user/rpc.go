package user

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "souk/gen/go/souk/auth/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/permission"
)

// RPC serves souk.user.v1.UserService. The contract says who may call which method.
type RPC struct {
	userv1.UnimplementedUserServiceServer
	store  *Store
	auth   Auth
	orders Orders
	clock  clock.Clock
}

// Orders is the part of the order service that the user service calls.
type Orders interface {
	HasUnshipped(
		ctx context.Context, in *orderv1.HasUnshippedRequest, opts ...grpc.CallOption,
	) (*orderv1.HasUnshippedResponse, error)
}

// NewRPC returns the server of a store.
func NewRPC(store *Store, auth Auth, orders Orders, c clock.Clock) *RPC {
	return &RPC{store: store, auth: auth, orders: orders, clock: c}
}

// GetMe returns the caller's user.
//
// Errors: not_found, unavailable.
func (r *RPC) GetMe(ctx context.Context, _ *userv1.GetMeRequest) (*userv1.GetMeResponse, error) {
	u, err := r.store.Get(ctx, identity.FromContext(ctx).ID)
	if err != nil {
		return nil, err
	}
	return &userv1.GetMeResponse{User: u.own()}, nil
}

// UpdateMe changes the caller's user.
//
// Errors: invalid_argument, not_found, conflict, unavailable.
func (r *RPC) UpdateMe(ctx context.Context, in *userv1.UpdateMeRequest) (*userv1.UpdateMeResponse, error) {
	c := Change{Name: in.Name, Phone: in.Phone}
	if p := in.GetPreferences(); p != nil {
		c.Locale, c.Currency, c.TimeZone, c.MarketingEmail = p.Locale, p.CurrencyCode, p.TimeZone, p.MarketingEmail
	}
	u, err := r.store.Update(ctx, identity.FromContext(ctx).ID, c, r.clock.Now())
	if err != nil {
		return nil, err
	}
	return &userv1.UpdateMeResponse{User: u.own()}, nil
}

// GetUser returns a user.
//
// Errors: not_found, unavailable.
func (r *RPC) GetUser(ctx context.Context, in *userv1.GetUserRequest) (*userv1.GetUserResponse, error) {
	u, err := r.store.Get(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	return &userv1.GetUserResponse{User: u.toProto()}, nil
}

// EraseUser erases a person's data.
//
// Errors: forbidden (oneself), not_found, conflict (an order was not shipped), unavailable.
func (r *RPC) EraseUser(ctx context.Context, in *userv1.EraseUserRequest) (*userv1.EraseUserResponse, error) {
	if identity.FromContext(ctx).ID == in.GetId() {
		return nil, errs.New(errs.Forbidden, "another person must erase you")
	}
	if !in.GetKeepOrders() {
		res, err := r.orders.HasUnshipped(ctx, &orderv1.HasUnshippedRequest{CustomerId: in.GetId()})
		if err != nil {
			return nil, err
		}
		if res.GetUnshipped() {
			return nil, errs.New(errs.Conflict,
				"an order was not shipped, and needs its address: cancel it, wait, or keep the orders")
		}
	}
	return &userv1.EraseUserResponse{}, r.store.Erase(ctx, in.GetId(), in.GetKeepOrders(), r.clock.Now())
}

// SearchUsers searches users by the whole e-mail address or name.
//
// Errors: invalid_argument, unavailable.
func (r *RPC) SearchUsers(ctx context.Context, in *userv1.SearchUsersRequest) (*userv1.SearchUsersResponse, error) {
	found, next, err := r.store.Search(ctx, in.GetQuery(), in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &userv1.SearchUsersResponse{Users: toProtos(found), NextPageToken: next}, nil
}

// SuspendUser keeps a user out.
//
// Errors: forbidden, not_found, conflict, unavailable.
func (r *RPC) SuspendUser(ctx context.Context, in *userv1.SuspendUserRequest) (*userv1.SuspendUserResponse, error) {
	u, err := r.store.Suspend(ctx, in.GetId(), identity.FromContext(ctx), in.GetReason(), r.clock.Now())
	if err != nil {
		return nil, err
	}
	return &userv1.SuspendUserResponse{User: u.toProto()}, nil
}

// ReinstateUser lets a suspended user sign in again.
//
// Errors: not_found, conflict, unavailable.
func (r *RPC) ReinstateUser(
	ctx context.Context, in *userv1.ReinstateUserRequest,
) (*userv1.ReinstateUserResponse, error) {
	u, err := r.store.Reinstate(ctx, in.GetId(), r.clock.Now())
	if err != nil {
		return nil, err
	}
	return &userv1.ReinstateUserResponse{User: u.toProto()}, nil
}

// RevokeSessions ends the sessions of a user.
//
// Errors: forbidden, not_found, unavailable, timeout.
func (r *RPC) RevokeSessions(
	ctx context.Context, in *userv1.RevokeSessionsRequest,
) (*userv1.RevokeSessionsResponse, error) {
	u, err := r.store.Get(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	if u.isAdmin(r.clock.Now()) && !slices.Contains(identity.FromContext(ctx).Roles, permission.RoleAdmin) {
		return nil, errs.New(errs.Forbidden, "only an admin can sign an admin out")
	}
	res, err := r.auth.EndSessions(ctx, &authv1.EndSessionsRequest{UserId: in.GetId()})
	if err != nil {
		return nil, err
	}
	return &userv1.RevokeSessionsResponse{Ended: res.GetEnded()}, nil
}

// EnsureUser returns the user of an identity, and creates a missing one.
//
// Errors: invalid_argument, conflict, unavailable.
func (r *RPC) EnsureUser(ctx context.Context, in *userv1.EnsureUserRequest) (*userv1.EnsureUserResponse, error) {
	now := r.clock.Now()
	i := Identity{
		Issuer: in.GetIssuer(), Subject: in.GetSubject(),
		Email: in.GetEmail(), EmailVerified: in.GetEmailVerified(), Name: in.GetName(), IssuedAt: now,
		Admin: slices.Contains(in.GetRoles(), permission.RoleAdmin),
	}
	if at := in.GetIssuedAt(); at != nil {
		i.IssuedAt = at.AsTime()
	}
	u, created, err := r.store.Ensure(ctx, i, now)
	if err != nil {
		return nil, err
	}
	return &userv1.EnsureUserResponse{User: u.toProto(), Created: created}, nil
}

// RecordSignIn remembers the browser with which a user signs in.
//
// Errors: not_found, conflict, unavailable.
func (r *RPC) RecordSignIn(
	ctx context.Context, in *userv1.RecordSignInRequest,
) (*userv1.RecordSignInResponse, error) {
	if _, err := r.store.Get(ctx, in.GetUserId()); err != nil {
		return nil, err
	}
	isNew, err := r.store.SignedIn(ctx, in.GetUserId(), in.GetDevice(), r.clock.Now())
	return &userv1.RecordSignInResponse{NewDevice: isNew}, err
}

// GetFormerEmail returns the address that a user had before the last change of it.
//
// Errors: not_found, unavailable.
func (r *RPC) GetFormerEmail(
	ctx context.Context, in *userv1.GetFormerEmailRequest,
) (*userv1.GetFormerEmailResponse, error) {
	u, err := r.store.Get(ctx, in.GetUserId())
	if err != nil {
		return nil, err
	}
	if u.FormerEmail == "" {
		return nil, errs.New(errs.NotFound, "the address never changed")
	}
	return &userv1.GetFormerEmailResponse{Email: u.FormerEmail, Verified: u.FormerEmailVerified}, nil
}

// BatchGetUsers returns users by ID. Missing users are left out.
//
// Errors: unavailable.
func (r *RPC) BatchGetUsers(
	ctx context.Context, in *userv1.BatchGetUsersRequest,
) (*userv1.BatchGetUsersResponse, error) {
	found, err := r.store.GetMany(ctx, in.GetIds())
	if err != nil {
		return nil, err
	}
	return &userv1.BatchGetUsersResponse{Users: toProtos(found)}, nil
}

func toProtos(users []User) []*userv1.User {
	out := make([]*userv1.User, len(users))
	for i, u := range users {
		out[i] = u.toProto()
	}
	return out
}

// own returns what the user sees: not why an operator has suspended the account.
func (u User) own() *userv1.User {
	u.SuspendedAt, u.SuspendedFor = time.Time{}, ""
	return u.toProto()
}

func (u User) toProto() *userv1.User {
	p := u.Preferences
	var suspension *userv1.Suspension
	if !u.SuspendedAt.IsZero() {
		suspension = &userv1.Suspension{SuspendedAt: timestamppb.New(u.SuspendedAt), Reason: u.SuspendedFor}
	}
	return &userv1.User{
		Id:            u.ID,
		Email:         u.Email,
		EmailVerified: u.EmailVerified,
		Name:          u.Name,
		Phone:         u.Phone,
		Preferences: &userv1.Preferences{
			Locale:         &p.Locale,
			CurrencyCode:   &p.Currency,
			TimeZone:       &p.TimeZone,
			MarketingEmail: &p.MarketingEmail,
		},
		CreatedAt:  timestamppb.New(u.CreatedAt),
		UpdatedAt:  timestamppb.New(u.UpdatedAt),
		Suspension: suspension,
	}
}
