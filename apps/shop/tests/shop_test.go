// Package tests holds the black-box tests of the shop service.
package tests

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"souk/apps/shop"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
	"souk/pkg/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// harness is the shop service, and clients of it as the gateway and as the product service.
type harness struct {
	*moduletest.Service
	t              *testing.T
	clock          *clock.Manual
	shops, product shopv1.ShopServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s := moduletest.Start(t, shop.Module, append([]moduletest.Option{
		moduletest.Clock(c),
		moduletest.Fake("user", func(r grpc.ServiceRegistrar) { userv1.RegisterUserServiceServer(r, users{}) }),
	}, opts...)...)
	return &harness{
		Service: s, t: t, clock: c,
		shops:   shopv1.NewShopServiceClient(s.Client("gateway")),
		product: shopv1.NewShopServiceClient(s.Client("product")),
	}
}

// users is a fake user service. The address of a user is its ID at example.com. That of user 99 is not verified.
type users struct {
	userv1.UnimplementedUserServiceServer
}

func emailOf(userID string) string { return userID + "@example.com" }

// BatchGetUsers answers as the user service does.
func (users) BatchGetUsers(
	_ context.Context, in *userv1.BatchGetUsersRequest,
) (*userv1.BatchGetUsersResponse, error) {
	res := &userv1.BatchGetUsersResponse{}
	for _, uid := range in.GetIds() {
		res.Users = append(res.Users,
			&userv1.User{Id: uid, Email: emailOf(uid), EmailVerified: !strings.HasSuffix(uid, "99")})
	}
	return res, nil
}

// join makes a user a member by an invitation of the inviting caller.
func (h *harness) join(inviter, invited context.Context, userID, shopID, role string) {
	h.t.Helper()
	i := h.invite(inviter, emailOf(userID), shopID, role)
	_, err := h.shops.AcceptInvitation(invited, &shopv1.AcceptInvitationRequest{Id: i.GetId()})
	require.NoError(h.t, err)
}

func (h *harness) invite(inviter context.Context, email, shopID, role string) *shopv1.Invitation {
	h.t.Helper()
	res, err := h.shops.InviteMember(inviter, &shopv1.InviteMemberRequest{ShopId: shopID, Email: email, Role: role})
	require.NoError(h.t, err)
	return res.GetInvitation()
}

// user returns the n-th user's context and ID.
func (h *harness) user(n int) (context.Context, string) {
	uid := fmt.Sprintf("usr_%032d", n)
	return h.AsUser(uid, "customer"), uid
}

func (h *harness) operator() context.Context { return h.AsUser("usr_op", permission.RoleOperator) }

func (h *harness) visitor() context.Context { return h.As(identity.Anonymous()) }

func (h *harness) create(t *testing.T, ctx context.Context, name string) *shopv1.Shop {
	t.Helper()
	res, err := h.shops.CreateShop(ctx, &shopv1.CreateShopRequest{Name: name})
	require.NoError(t, err)
	return res.GetShop()
}

func TestOwnerRegistersAShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user(1)
	sh := h.create(t, alice, "Ateliê  Aurora & Filhos")
	require.Equal(t, "atelie-aurora-filhos", sh.GetHandle())
	require.Equal(t, "unverified", sh.GetStatus())
	require.True(t, id.Valid(id.Shop, sh.GetId()))

	for _, key := range []string{sh.GetId(), sh.GetHandle()} {
		got, err := h.shops.GetShop(h.visitor(), &shopv1.GetShopRequest{Id: key})
		require.NoError(t, err)
		require.Equal(t, "Ateliê  Aurora & Filhos", got.GetShop().GetName())
	}
	mine, err := h.shops.ListMyShops(alice, &shopv1.ListMyShopsRequest{})
	require.NoError(t, err)
	require.Len(t, mine.GetShops(), 1)
	m, err := h.product.CheckMembership(t.Context(),
		&shopv1.CheckMembershipRequest{ShopId: sh.GetId(), UserId: aliceID})
	require.NoError(t, err)
	require.Equal(t, "owner", m.GetRole())
	require.Equal(t, []string{"evt.shop.registered"}, h.Events(sh.GetId()))

	_, err = h.shops.CreateShop(alice, &shopv1.CreateShopRequest{Name: "Another", Handle: sh.GetHandle()})
	require.True(t, errs.Is(err, errs.AlreadyExists), err)
	require.Len(t, h.Events(sh.GetId()), 1, "a refused shop appends no event")
}

func TestConcurrentCreatesWithOneHandleMakeOneShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var made, taken atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ctx, _ := h.user(i)
			_, err := h.shops.CreateShop(ctx, &shopv1.CreateShopRequest{Name: "One", Handle: "one"})
			switch {
			case err == nil:
				made.Add(1)
			case errs.Is(err, errs.AlreadyExists):
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, made.Load())
	require.EqualValues(t, 19, taken.Load())
}

func TestStrangerCannotChangeAShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	mallory, malloryID := h.user(2)
	sh := h.create(t, alice, "Alice")
	name := "Mallory"
	_, err := h.shops.UpdateShop(mallory, &shopv1.UpdateShopRequest{Id: sh.GetId(), Name: &name})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.shops.ListMembers(mallory, &shopv1.ListMembersRequest{ShopId: sh.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.shops.AddMember(mallory, &shopv1.AddMemberRequest{ShopId: sh.GetId(), UserId: malloryID, Role: "owner"})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.shops.RemoveMember(mallory, &shopv1.RemoveMemberRequest{ShopId: sh.GetId(), UserId: malloryID})
	require.True(t, errs.Is(err, errs.NotFound), err)
	got, err := h.shops.GetShop(mallory, &shopv1.GetShopRequest{Id: sh.GetId()})
	require.NoError(t, err)
	require.Equal(t, "Alice", got.GetShop().GetName())
}

func TestOnlyOwnersChooseMembers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user(1)
	bob, bobID := h.user(2)
	sh := h.create(t, alice, "Alice & Bob")
	add := func(ctx context.Context, uid, role string) error {
		_, err := h.shops.AddMember(ctx, &shopv1.AddMemberRequest{ShopId: sh.GetHandle(), UserId: uid, Role: role})
		return err
	}
	remove := func(ctx context.Context, uid string) error {
		_, err := h.shops.RemoveMember(ctx, &shopv1.RemoveMemberRequest{ShopId: sh.GetId(), UserId: uid})
		return err
	}
	require.True(t, errs.Is(add(alice, bobID, "owner"), errs.NotFound), "who has not accepted is no member")
	h.join(alice, bob, bobID, sh.GetId(), "staff")
	name := "Bob & Alice"
	_, err := h.shops.UpdateShop(bob, &shopv1.UpdateShopRequest{Id: sh.GetId(), Name: &name})
	require.NoError(t, err, "staff may change the profile")
	require.True(t, errs.Is(add(bob, bobID, "owner"), errs.Forbidden), "but not the members")
	require.True(t, errs.Is(remove(alice, aliceID), errs.Conflict), "the last owner stays")
	require.True(t, errs.Is(add(alice, aliceID, "staff"), errs.Conflict), "as an owner")
	require.NoError(t, add(alice, bobID, "owner"))
	require.NoError(t, remove(bob, aliceID))
	members, err := h.shops.ListMembers(bob, &shopv1.ListMembersRequest{ShopId: sh.GetId()})
	require.NoError(t, err)
	require.Len(t, members.GetMembers(), 1)
	require.True(t, errs.Is(remove(bob, aliceID), errs.NotFound))
}

func TestOwnersWhoRemoveEachOtherLeaveOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 10 {
		alice, aliceID := h.user(1)
		bob, bobID := h.user(2)
		sh := h.create(t, alice, "Duel "+id.New(id.Shop)[4:])
		h.join(alice, bob, bobID, sh.GetId(), "owner")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = h.shops.RemoveMember(alice, &shopv1.RemoveMemberRequest{ShopId: sh.GetId(), UserId: bobID})
		})
		wg.Go(func() {
			_, _ = h.shops.RemoveMember(bob, &shopv1.RemoveMemberRequest{ShopId: sh.GetId(), UserId: aliceID})
		})
		wg.Wait()
		members, err := h.shops.ListMembers(h.operator(), &shopv1.ListMembersRequest{ShopId: sh.GetId()})
		require.NoError(t, err)
		require.Len(t, members.GetMembers(), 1, "one owner is left")
	}
}

func TestSuspendedShopIsHidden(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	stranger, _ := h.user(2)
	sh := h.create(t, alice, "Alice")
	set := func(status string) {
		_, err := h.shops.SetShopStatus(h.operator(), &shopv1.SetShopStatusRequest{Id: sh.GetId(), Status: status})
		require.NoError(t, err)
	}
	set("active")
	set("active") // unchanged, so there is no event
	set("suspended")
	require.Equal(t, []string{"evt.shop.registered", "evt.shop.verified", "evt.shop.suspended"}, h.Events(sh.GetId()))
	_, err := h.shops.GetShop(stranger, &shopv1.GetShopRequest{Id: sh.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.shops.GetShop(alice, &shopv1.GetShopRequest{Id: sh.GetId()})
	require.NoError(t, err)
	list, err := h.shops.ListShops(h.visitor(), &shopv1.ListShopsRequest{})
	require.NoError(t, err)
	require.Empty(t, list.GetShops())
}

func TestListIsCompleteAtAnyPageSize(t *testing.T) {
	t.Parallel()
	h := setup(t)
	want := map[string]bool{}
	for i := range 47 {
		req := &shopv1.CreateShopRequest{Name: fmt.Sprintf("Shop %d", i%7), Handle: fmt.Sprintf("shop-%d", i)}
		res, err := h.shops.CreateShop(h.operator(), req) // many equal names
		require.NoError(t, err)
		want[res.GetShop().GetId()] = true
	}
	for _, size := range []int32{1, 10, 1_000_000} {
		seen := map[string]bool{}
		for token := ""; ; {
			res, err := h.shops.ListShops(h.visitor(), &shopv1.ListShopsRequest{PageSize: size, PageToken: token})
			require.NoError(t, err)
			require.LessOrEqual(t, len(res.GetShops()), 100)
			for _, sh := range res.GetShops() {
				require.False(t, seen[sh.GetId()], "twice")
				seen[sh.GetId()] = true
			}
			if token = res.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Equal(t, want, seen)
	}
	_, err := h.shops.ListShops(h.visitor(), &shopv1.ListShopsRequest{PageToken: "made up"})
	require.True(t, errs.Is(err, errs.Invalid), err)
}

func TestSearchTakesAnyText(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.create(t, h.operator(), "Vinil & Café")
	find := func(q string) int {
		res, err := h.shops.ListShops(h.visitor(), &shopv1.ListShopsRequest{Query: q})
		require.NoError(t, err, q)
		return len(res.GetShops())
	}
	require.Equal(t, 1, find("vin"))
	require.Equal(t, 1, find("café vinil"))
	require.Equal(t, 0, find("zebra"))
	for _, q := range []string{"'; drop table shop; --", "& | ! ( )", ":*", "\\", "<b>", "🙂", `"`} {
		require.Equal(t, 0, find(q), q)
	}
	require.Equal(t, 1, find(""))
}
