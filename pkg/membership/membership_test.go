package membership_test

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	shopv1 "souk/gen/go/souk/shop/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/membership"
	"souk/pkg/permission"
	"souk/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shopID = "shp_1"

// shops knows one shop, by its ID and its handle, and its members.
type shops struct {
	members map[string]*shopv1.CheckMembershipResponse
	calls   int
	err     error
}

func (s *shops) CheckMembership(
	_ context.Context, r *shopv1.CheckMembershipRequest, _ ...grpc.CallOption,
) (*shopv1.CheckMembershipResponse, error) {
	s.calls++
	if s.err != nil || r.GetShopId() != shopID && r.GetShopId() != "aurora" {
		return &shopv1.CheckMembershipResponse{}, s.err
	}
	out := &shopv1.CheckMembershipResponse{ShopId: shopID, Status: "suspended"}
	if m := s.members[r.GetUserId()]; m != nil {
		out.Member, out.Role, out.Permissions = true, m.GetRole(), m.GetPermissions()
	}
	return out, nil
}

// vouchers checks the shop of each call of ListShopVouchers, which asks for voucher.read.
type vouchers struct {
	voucherv1.UnimplementedVoucherServiceServer
	shops *shops
	check func(context.Context, membership.Shops, string, error) (membership.Standing, error)
	last  membership.Standing
}

var errNoShop = errs.New(errs.NotFound, "there is no such shop")

func (v *vouchers) ListShopVouchers(
	ctx context.Context, r *voucherv1.ListShopVouchersRequest,
) (*voucherv1.ListShopVouchersResponse, error) {
	var err error
	v.last, err = v.check(ctx, v.shops, r.GetShopId(), errNoShop)
	return &voucherv1.ListShopVouchersResponse{}, err
}

// setup returns the service, and a function that calls it on behalf of an actor.
func setup(t *testing.T) (*vouchers, func(a identity.Actor, shop string) error) {
	key := identity.DeriveKey([]byte("a seed of thirty-two bytes, at least"), identity.Gateway)
	verifier := identity.NewVerifier(
		map[string]ed25519.PublicKey{identity.Gateway: key.Public().(ed25519.PublicKey)}, clock.System{})
	signer := verifier.Signer(identity.Gateway, key, time.Minute)
	v := &vouchers{check: membership.Check, shops: &shops{members: map[string]*shopv1.CheckMembershipResponse{
		"usr_owner": {Role: "owner", Permissions: permission.OfOwner()},
		"usr_staff": {Role: "staff", Permissions: []string{"voucher.read"}},
		"usr_other": {Role: "staff", Permissions: []string{"order.read", "voucher.write"}},
		"usr_old":   {Role: "staff"}, // by a shop service that knows no permissions
	}}}
	server := rpc.NewServer(rpc.ServerOptions{Service: "voucher", Verifier: verifier})
	voucherv1.RegisterVoucherServiceServer(server, v)
	local := rpc.NewLocal()
	stop, err := local.Serve(t.Context(), server)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop(context.Background())) })
	client := voucherv1.NewVoucherServiceClient(
		rpc.NewClient(local.Conn(), rpc.ClientOptions{Service: identity.Gateway, Signer: signer}))
	return v, func(a identity.Actor, shop string) error {
		_, err := client.ListShopVouchers(identity.WithAssertion(t.Context(), signer.Assert(a)),
			&voucherv1.ListShopVouchersRequest{ShopId: shop})
		return err
	}
}

func user(id string, permissions ...string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, ID: id, Permissions: permissions}
}

func key(shop string, scopes ...string) identity.Actor {
	return identity.Actor{Kind: identity.KindKey, ID: "key_1", ShopID: shop, Permissions: scopes}
}

func TestCallersNeedTheMethodsPermission(t *testing.T) {
	t.Parallel()
	v, call := setup(t)
	for name, c := range map[string]struct {
		actor identity.Actor
		want  errs.Code
	}{
		"an owner":                        {user("usr_owner"), ""},
		"staff with it":                   {user("usr_staff"), ""},
		"staff of an older shop service":  {user("usr_old"), ""},
		"staff without it":                {user("usr_other"), errs.Forbidden},
		"a stranger":                      {user("usr_2"), errs.NotFound},
		"with it in the marketplace":      {user("usr_2", "voucher.read"), ""},
		"with another in the marketplace": {user("usr_2", "voucher.write"), errs.NotFound},
		"a key with it":                   {key(shopID, "voucher.read"), ""},
		"a key without it":                {key(shopID, "voucher.write"), errs.Forbidden},
		"a key of another shop":           {key("shp_2", "voucher.read"), errs.NotFound},
		"a guest":                         {identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}, errs.Unauthenticated},
		"nobody":                          {identity.Anonymous(), errs.Unauthenticated},
	} {
		for _, shop := range []string{shopID, "aurora"} {
			err := call(c.actor, shop)
			require.Equal(t, c.want, errs.CodeOf(err), "%s: %v", name, err)
			if err == nil {
				require.Equal(t, membership.Standing{
					ShopID: shopID, Status: "suspended", Everywhere: c.actor.Can("voucher.read"),
				}, v.last, name)
			}
		}
		require.NotEmpty(t, errs.CodeOf(call(c.actor, "unknown")), name)
	}
	v.shops.err = errs.New(errs.Unavailable, "the shop service is down")
	require.Equal(t, errs.Unavailable, errs.CodeOf(call(user("usr_owner"), shopID)))
}

func TestKnownShopsAreNotAskedAboutByWhoMayActInAll(t *testing.T) {
	t.Parallel()
	v, call := setup(t)
	v.check = membership.CheckKnown
	require.NoError(t, call(user("usr_2", "voucher.read"), shopID))
	require.Equal(t, membership.Standing{ShopID: shopID, Everywhere: true}, v.last)
	require.Zero(t, v.shops.calls)
	require.Equal(t, errs.NotFound, errs.CodeOf(call(user("usr_2"), shopID)))
	require.NoError(t, call(user("usr_staff"), shopID))
	require.Equal(t, 2, v.shops.calls)
}
