package shop

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/page"
	"souk/pkg/rpc"
)

// RPC serves souk.shop.v1.ShopService.
type RPC struct {
	shopv1.UnimplementedShopServiceServer

	store *Store
	users Users
	uses  *Uses
	clock clock.Clock
}

// Users is the part of the user service that this service calls.
type Users interface {
	BatchGetUsers(
		ctx context.Context, in *userv1.BatchGetUsersRequest, opts ...grpc.CallOption,
	) (*userv1.BatchGetUsersResponse, error)
}

// NewRPC returns the service over store.
func NewRPC(store *Store, users Users, uses *Uses, c clock.Clock) *RPC {
	return &RPC{store: store, users: users, uses: uses, clock: c}
}

// CreateShop registers a shop. One that is registered for another user is verified.
//
// Errors: already_exists, invalid_argument, conflict (the caller has too many shops).
func (r *RPC) CreateShop(ctx context.Context, req *shopv1.CreateShopRequest) (*shopv1.CreateShopResponse, error) {
	actor := identity.FromContext(ctx)
	sh, err := newShop(req.GetHandle(), req.GetName(), r.clock.Now())
	if err != nil {
		return nil, err
	}
	sh.Description, sh.LogoURL = req.GetDescription(), req.GetLogoUrl()
	sh.City, sh.Region, sh.CountryCode = req.GetCity(), req.GetRegion(), req.GetCountryCode()
	owner := actor.ID
	if rpc.Permitted(ctx) {
		owner, sh.Status = "", Active // registered for another user, and verified
	} else if err := checkName(sh.Name); err != nil {
		return nil, err
	}
	e, err := r.event(ctx, sh, "evt.shop.registered",
		&shopv1.ShopRegistered{ShopId: sh.ID, Handle: sh.Handle, Name: sh.Name, Status: string(sh.Status)})
	if err != nil {
		return nil, err
	}
	if err := r.store.Create(ctx, sh, owner, e); err != nil {
		return nil, err
	}
	return &shopv1.CreateShopResponse{Shop: sh.toProto()}, nil
}

// UpdateShop changes a shop's profile.
//
// Errors: invalid_argument, not_found (also if the caller is a stranger to the shop), forbidden (the caller lacks the
// permission, or the shop is suspended).
func (r *RPC) UpdateShop(ctx context.Context, req *shopv1.UpdateShopRequest) (*shopv1.UpdateShopResponse, error) {
	if !rpc.Permitted(ctx) {
		if err := checkName(req.GetName()); err != nil {
			return nil, err
		}
	}
	sh, err := r.store.Change(ctx, req.GetId(), memberID(ctx), func(sh *Shop) ([]event.Event, error) {
		changed, err := sh.apply(profile{
			name:        req.Name,
			description: req.Description,
			logoURL:     req.LogoUrl,
			city:        req.City,
			region:      req.Region,
			countryCode: req.CountryCode,
		}, r.clock.Now())
		if err != nil || !changed {
			return nil, err
		}
		e, err := r.event(ctx, sh, "evt.shop.updated",
			&shopv1.ShopUpdated{ShopId: sh.ID, Handle: sh.Handle, Name: sh.Name, Status: string(sh.Status)})
		return []event.Event{e}, err
	})
	if err != nil {
		return nil, err
	}
	return &shopv1.UpdateShopResponse{Shop: sh.toProto()}, nil
}

// GetShop returns a shop. Only callers with shop.read get a suspended one.
//
// Errors: not_found, forbidden.
func (r *RPC) GetShop(ctx context.Context, req *shopv1.GetShopRequest) (*shopv1.GetShopResponse, error) {
	sh, err := r.store.Get(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if sh.Status == Suspended {
		if err := r.member(ctx, sh.ID); err != nil {
			return nil, err
		}
	}
	return &shopv1.GetShopResponse{Shop: sh.toProto()}, nil
}

// ListShops lists and searches shops by name.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListShops(ctx context.Context, req *shopv1.ListShopsRequest) (*shopv1.ListShopsResponse, error) {
	read := func(ctx context.Context, after position, limit int) ([]*Shop, error) {
		words := prefixQuery(req.GetQuery())
		if words == "" && strings.TrimSpace(req.GetQuery()) != "" {
			return nil, nil // punctuation alone matches nothing
		}
		return r.store.List(ctx, words, after, limit)
	}
	shops, next, err := page.List(ctx, page.Of(req, req.GetQuery()), position{}, read, (*Shop).position)
	if err != nil {
		return nil, err
	}
	return &shopv1.ListShopsResponse{Shops: toProtos(shops), NextPageToken: next}, nil
}

// ListAllShops lists shops for operators, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListAllShops(ctx context.Context, req *shopv1.ListAllShopsRequest) (*shopv1.ListAllShopsResponse, error) {
	read := func(ctx context.Context, before moment, limit int) ([]*Shop, error) {
		return r.store.ListByStatus(ctx, Status(req.GetStatus()), before, limit)
	}
	created := func(sh *Shop) moment { return moment{sh.CreatedAt, sh.ID} }
	shops, next, err := page.List(ctx, page.Of(req, "all-shops", req.GetStatus()), newest(), read, created)
	if err != nil {
		return nil, err
	}
	return &shopv1.ListAllShopsResponse{Shops: toProtos(shops), NextPageToken: next}, nil
}

// ListMyShops lists the shops that the caller is a member of.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListMyShops(ctx context.Context, req *shopv1.ListMyShopsRequest) (*shopv1.ListMyShopsResponse, error) {
	userID := identity.FromContext(ctx).ID
	read := func(ctx context.Context, after position, limit int) ([]*Shop, error) {
		return r.store.ListOfUser(ctx, userID, after, limit)
	}
	shops, next, err := page.List(ctx, page.Of(req, "my-shops", userID), position{}, read, (*Shop).position)
	if err != nil {
		return nil, err
	}
	return &shopv1.ListMyShopsResponse{Shops: toProtos(shops), NextPageToken: next}, nil
}

// SetShopStatus verifies or suspends a shop.
//
// Errors: not_found.
func (r *RPC) SetShopStatus(
	ctx context.Context, req *shopv1.SetShopStatusRequest,
) (*shopv1.SetShopStatusResponse, error) {
	sh, err := r.store.Change(ctx, req.GetId(), "", func(sh *Shop) ([]event.Event, error) {
		if !sh.setStatus(Status(req.GetStatus()), r.clock.Now()) {
			return nil, nil
		}
		var e event.Event
		var err error
		if sh.Status == Suspended {
			e, err = r.event(ctx, sh, "evt.shop.suspended",
				&shopv1.ShopSuspended{ShopId: sh.ID, Handle: sh.Handle, Name: sh.Name})
		} else {
			e, err = r.event(ctx, sh, "evt.shop.verified",
				&shopv1.ShopVerified{ShopId: sh.ID, Handle: sh.Handle, Name: sh.Name})
		}
		return []event.Event{e}, err
	})
	if err != nil {
		return nil, err
	}
	return &shopv1.SetShopStatusResponse{Shop: sh.toProto()}, nil
}

// CheckMembership reports whether a user is a member of a shop, for other services.
func (r *RPC) CheckMembership(
	ctx context.Context, req *shopv1.CheckMembershipRequest,
) (*shopv1.CheckMembershipResponse, error) {
	in, err := r.store.Standing(ctx, req.GetShopId(), req.GetUserId())
	if err != nil {
		return nil, err
	}
	return &shopv1.CheckMembershipResponse{
		Member: in.Role != "", Role: string(in.Role), ShopId: in.ShopID, Status: string(in.Status),
		Permissions: in.Permissions,
	}, nil
}

// GetShopForNotice returns a shop and its owners, for the notification service.
//
// Errors: not_found.
func (r *RPC) GetShopForNotice(
	ctx context.Context, req *shopv1.GetShopForNoticeRequest,
) (*shopv1.GetShopForNoticeResponse, error) {
	sh, err := r.store.Get(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	owners, err := r.store.Owners(ctx, sh.ID)
	if err != nil {
		return nil, err
	}
	return &shopv1.GetShopForNoticeResponse{Shop: sh.toProto(), OwnerIds: owners}, nil
}

// BatchGetShops returns shops by ID or handle, for other services. Missing shops are left out.
func (r *RPC) BatchGetShops(
	ctx context.Context, req *shopv1.BatchGetShopsRequest,
) (*shopv1.BatchGetShopsResponse, error) {
	shops, err := r.store.BatchGet(ctx, req.GetIds(), req.GetHandles())
	if err != nil {
		return nil, err
	}
	return &shopv1.BatchGetShopsResponse{Shops: toProtos(shops)}, nil
}

// memberID returns the user who must have the method's permission in the shop that the caller changes. It is "" for a
// caller who has it in the whole marketplace.
func memberID(ctx context.Context) string {
	if rpc.Permitted(ctx) {
		return ""
	}
	return identity.FromContext(ctx).ID
}

// member returns an error unless the caller has the method's permission in the shop or in the whole marketplace.
//
// Errors: not_found (the caller is a stranger to the shop), forbidden (a member lacks the permission).
func (r *RPC) member(ctx context.Context, shopID string) error {
	a := identity.FromContext(ctx)
	if rpc.Permitted(ctx) {
		return nil
	}
	if !a.IsUser() {
		return noShop()
	}
	in, err := r.store.Standing(ctx, shopID, a.ID)
	switch {
	case err != nil:
		return err
	case in.Role == "":
		return noShop()
	case !slices.Contains(in.Permissions, rpc.Permission(ctx)):
		return lacking(ctx)
	}
	return nil
}

func (r *RPC) event(ctx context.Context, sh *Shop, subject string, m proto.Message) (event.Event, error) {
	return event.New(ctx, subject, sh.ID, sh.Version, r.clock.Now(), m)
}

func (s *Shop) toProto() *shopv1.Shop {
	return &shopv1.Shop{
		Id:          s.ID,
		Handle:      s.Handle,
		Name:        s.Name,
		Description: s.Description,
		LogoUrl:     s.LogoURL,
		City:        s.City,
		Region:      s.Region,
		CountryCode: s.CountryCode,
		Status:      string(s.Status),
		CreatedAt:   timestamppb.New(s.CreatedAt),
		UpdatedAt:   timestamppb.New(s.UpdatedAt),
	}
}

func toProtos(shops []*Shop) []*shopv1.Shop {
	out := make([]*shopv1.Shop, 0, len(shops))
	for _, s := range shops {
		out = append(out, s.toProto())
	}
	return out
}
