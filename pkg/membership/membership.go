// Package membership decides whether the caller may do in a shop what the method of the contract does.
//
// The method's permission stands in the contract (LEVEL_SHOP_PERMISSION), and package rpc puts it into the context. So
// a service does not choose what it asks for: it only says which shop the call is about.
package membership

import (
	"context"
	"slices"

	"google.golang.org/grpc"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/permission"
	"souk/pkg/rpc"
)

// Shops is the shop service, as far as this package needs it.
type Shops interface {
	CheckMembership(
		ctx context.Context, r *shopv1.CheckMembershipRequest, opts ...grpc.CallOption,
	) (*shopv1.CheckMembershipResponse, error)
}

// Standing is what the caller is to a shop.
type Standing struct {
	ShopID string
	// Status of the shop: unverified, active or suspended. It is empty if [CheckKnown] did not need it.
	Status string
	// Everywhere: the caller has the permission in the whole marketplace.
	Everywhere bool
}

// Check returns the standing of a caller who has the called method's permission in a shop, which is given by ID or
// handle. Others get refusal, so that a stranger does not learn what exists, unless they are members without it.
//
// The call of a member or a key is in the audit trail afterwards, unless it only reads.
//
// Errors: refusal, forbidden (the caller is a member or a key of the shop and lacks the permission), unavailable.
func Check(ctx context.Context, shops Shops, shop string, refusal error) (Standing, error) {
	caller := identity.FromContext(ctx)
	if !caller.IsUser() && !caller.IsKey() {
		return Standing{}, refusal
	}
	res, err := shops.CheckMembership(ctx, &shopv1.CheckMembershipRequest{ShopId: shop, UserId: caller.ID})
	switch {
	case errs.Is(err, errs.NotFound), err == nil && res.GetShopId() == "":
		return Standing{}, refusal
	case err != nil:
		return Standing{}, err
	}
	out := Standing{ShopID: res.GetShopId(), Status: res.GetStatus()}
	var has []string
	switch {
	case rpc.Permitted(ctx):
		out.Everywhere = true
		return out, nil
	case caller.IsKey() && caller.ShopID == out.ShopID:
		has = caller.Permissions
	case caller.IsUser() && res.GetMember():
		has = granted(res)
	default:
		return Standing{}, refusal
	}
	if !slices.Contains(has, rpc.Permission(ctx)) {
		return Standing{}, errs.New(errs.Forbidden, "this needs the permission %s of the shop", rpc.Permission(ctx))
	}
	return out, rpc.Record(ctx)
}

// CheckKnown is [Check] for a shop that is known to exist, such as that of a product. It does not ask the shop service
// about a caller who has the permission in the whole marketplace.
//
// Errors: those of Check.
func CheckKnown(ctx context.Context, shops Shops, shopID string, refusal error) (Standing, error) {
	if rpc.Permitted(ctx) {
		return Standing{ShopID: shopID, Everywhere: true}, nil
	}
	return Check(ctx, shops, shopID, refusal)
}

// granted returns what a member may do. A shop service of an earlier version of souk does not say it.
func granted(res *shopv1.CheckMembershipResponse) []string {
	switch {
	case len(res.GetPermissions()) > 0:
		return res.GetPermissions()
	case res.GetRole() == "owner":
		return permission.OfOwner()
	default:
		return permission.OfStaff()
	}
}
