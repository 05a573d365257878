package shop

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/page"
)

// moment is a row's place in a list by time. The page token holds it.
type moment struct {
	Time time.Time `json:"t"`
	ID   string    `json:"i"`
}

// newest returns the place before the newest row.
func newest() moment { return moment{Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} }

// ListMembers lists a shop's members.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden, invalid_argument (a made-up page token).
func (r *RPC) ListMembers(ctx context.Context, req *shopv1.ListMembersRequest) (*shopv1.ListMembersResponse, error) {
	sh, err := r.store.Get(ctx, req.GetShopId())
	if err != nil {
		return nil, err
	}
	if err := r.member(ctx, sh.ID); err != nil {
		return nil, err
	}
	read := func(ctx context.Context, after moment, limit int) ([]Member, error) {
		return r.store.Members(ctx, sh.ID, after, limit)
	}
	joined := func(m Member) moment { return moment{m.CreatedAt, m.UserID} }
	members, next, err := page.List(ctx, page.Of(req, "members", sh.ID), moment{}, read, joined)
	if err != nil {
		return nil, err
	}
	res := &shopv1.ListMembersResponse{NextPageToken: next}
	for _, m := range members {
		res.Members = append(res.Members, m.toProto())
	}
	return res, nil
}

// AddMember changes a member's role and permissions.
//
// Errors: invalid_argument, not_found (the shop, or the user is not a member), forbidden (the caller lacks the
// permission, or the shop is suspended), conflict (the last owner).
func (r *RPC) AddMember(ctx context.Context, req *shopv1.AddMemberRequest) (*shopv1.AddMemberResponse, error) {
	role := Role(req.GetRole())
	permissions, err := given(role, req.GetPermissions())
	if err != nil {
		return nil, err
	}
	m, err := r.store.SetRole(ctx, req.GetShopId(), memberID(ctx), req.GetUserId(), role, permissions)
	if err != nil {
		return nil, err
	}
	return &shopv1.AddMemberResponse{Member: m.toProto()}, nil
}

// RemoveMember ends a membership.
//
// Errors: not_found, forbidden (the caller removes another member and lacks the permission, or the shop is suspended),
// conflict (the last owner).
func (r *RPC) RemoveMember(ctx context.Context, req *shopv1.RemoveMemberRequest) (*shopv1.RemoveMemberResponse, error) {
	return &shopv1.RemoveMemberResponse{}, r.store.RemoveMember(ctx, req.GetShopId(), memberID(ctx), req.GetUserId())
}

// InviteMember invites a person by e-mail.
//
// Errors: not_found, forbidden (the caller lacks the permission, or the shop is suspended), already_exists (the address
// is invited), conflict (the shop has too many members and invitations), rate_limited (it has sent too many).
func (r *RPC) InviteMember(ctx context.Context, req *shopv1.InviteMemberRequest) (*shopv1.InviteMemberResponse, error) {
	in := Invitation{
		ID: id.New(
			id.Invitation,
		),
		Email:     strings.ToLower(req.GetEmail()),
		Role:      Role(req.GetRole()),
		CreatedAt: r.clock.Now(),
	}
	var err error
	if in.Permissions, err = given(in.Role, req.GetPermissions()); err != nil {
		return nil, err
	}
	in, err = r.store.Invite(ctx, req.GetShopId(), memberID(ctx), in, func(in Invitation) (event.Event, error) {
		return event.New(ctx, "evt.shop.member_invited", in.ID, 1, in.CreatedAt,
			&shopv1.MemberInvited{InvitationId: in.ID, ShopId: in.ShopID, Role: string(in.Role)})
	})
	if err != nil {
		return nil, err
	}
	return &shopv1.InviteMemberResponse{Invitation: in.toProto()}, nil
}

// ListInvitations lists a shop's open invitations.
//
// Errors: not_found, forbidden (the caller lacks the permission), invalid_argument (a made-up page token).
func (r *RPC) ListInvitations(
	ctx context.Context, req *shopv1.ListInvitationsRequest,
) (*shopv1.ListInvitationsResponse, error) {
	sh, err := r.store.Permitted(ctx, req.GetShopId(), memberID(ctx))
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, before moment, limit int) ([]Invitation, error) {
		return r.store.InvitationsOfShop(ctx, sh.ID, r.clock.Now(), before, limit)
	}
	found, next, err := page.List(ctx, page.Of(req, "invitations", sh.ID), newest(), read, Invitation.moment)
	if err != nil {
		return nil, err
	}
	return &shopv1.ListInvitationsResponse{Invitations: invitationProtos(found), NextPageToken: next}, nil
}

// RevokeInvitation takes back an invitation.
//
// Errors: not_found, forbidden (the caller lacks the permission, or the shop is suspended).
func (r *RPC) RevokeInvitation(
	ctx context.Context, req *shopv1.RevokeInvitationRequest,
) (*shopv1.RevokeInvitationResponse, error) {
	return &shopv1.RevokeInvitationResponse{}, r.store.Revoke(ctx, req.GetShopId(), memberID(ctx), req.GetId(),
		r.clock.Now())
}

// ListMyInvitations lists the open invitations to the caller. A caller without a verified address has none.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListMyInvitations(
	ctx context.Context, req *shopv1.ListMyInvitationsRequest,
) (*shopv1.ListMyInvitationsResponse, error) {
	email, err := r.verifiedEmail(ctx)
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, before moment, limit int) ([]Invitation, error) {
		return r.store.InvitationsTo(ctx, email, r.clock.Now(), before, limit)
	}
	caller := identity.FromContext(ctx).ID
	found, next, err := page.List(ctx, page.Of(req, "my-invitations", caller), newest(), read, Invitation.moment)
	if err != nil {
		return nil, err
	}
	return &shopv1.ListMyInvitationsResponse{Invitations: invitationProtos(found), NextPageToken: next}, nil
}

// AcceptInvitation makes the caller a member. It may be called again.
//
// Errors: not_found (also if it is another person's, has ended, or the shop is suspended), conflict (the caller is a
// member of too many shops).
func (r *RPC) AcceptInvitation(
	ctx context.Context, req *shopv1.AcceptInvitationRequest,
) (*shopv1.AcceptInvitationResponse, error) {
	email, err := r.verifiedEmail(ctx)
	if err != nil {
		return nil, err
	}
	m, err := r.store.Accept(ctx, req.GetId(), email, identity.FromContext(ctx).ID, r.clock.Now())
	if err != nil {
		return nil, err
	}
	return &shopv1.AcceptInvitationResponse{Member: m.toProto()}, nil
}

// DeclineInvitation ends an invitation to the caller.
//
// Errors: not_found (also if it is another person's or has ended).
func (r *RPC) DeclineInvitation(
	ctx context.Context, req *shopv1.DeclineInvitationRequest,
) (*shopv1.DeclineInvitationResponse, error) {
	email, err := r.verifiedEmail(ctx)
	if err != nil {
		return nil, err
	}
	return &shopv1.DeclineInvitationResponse{}, r.store.Decline(ctx, req.GetId(), email, r.clock.Now())
}

// GetInvitationForNotice returns an open invitation, for the notification service.
//
// Errors: not_found (also if it has ended).
func (r *RPC) GetInvitationForNotice(
	ctx context.Context, req *shopv1.GetInvitationForNoticeRequest,
) (*shopv1.GetInvitationForNoticeResponse, error) {
	in, err := r.store.Invitation(ctx, req.GetId(), r.clock.Now())
	if err != nil {
		return nil, err
	}
	return &shopv1.GetInvitationForNoticeResponse{Invitation: in.toProto()}, nil
}

// verifiedEmail returns the caller's e-mail address in lower case. It is empty if the sign-in provider has not
// verified it: then it proves nothing.
func (r *RPC) verifiedEmail(ctx context.Context) (string, error) {
	caller := identity.FromContext(ctx).ID
	res, err := r.users.BatchGetUsers(ctx, &userv1.BatchGetUsersRequest{Ids: []string{caller}})
	if err != nil {
		return "", err
	}
	for _, u := range res.GetUsers() {
		if u.GetEmailVerified() {
			return strings.ToLower(u.GetEmail()), nil
		}
	}
	return "", nil
}

func noInvitation() error { return errs.New(errs.NotFound, "there is no such invitation") }

func (i Invitation) moment() moment { return moment{i.CreatedAt, i.ID} }

func (i Invitation) toProto() *shopv1.Invitation {
	return &shopv1.Invitation{
		Id:        i.ID,
		ShopId:    i.ShopID,
		ShopName:  i.ShopName,
		Email:     i.Email,
		Role:      string(i.Role),
		CreatedAt: timestamppb.New(i.CreatedAt),
		ExpiresAt: timestamppb.New(i.ExpiresAt),

		Permissions: grants(i.Role, i.Permissions),
	}
}

func invitationProtos(list []Invitation) []*shopv1.Invitation {
	out := make([]*shopv1.Invitation, 0, len(list))
	for _, i := range list {
		out = append(out, i.toProto())
	}
	return out
}

func (m Member) toProto() *shopv1.Member {
	return &shopv1.Member{
		ShopId:      m.ShopID,
		UserId:      m.UserID,
		Role:        string(m.Role),
		CreatedAt:   timestamppb.New(m.CreatedAt),
		Permissions: grants(m.Role, m.Permissions),
	}
}
