package tests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

func (h *harness) accept(ctx context.Context, invitation *shopv1.Invitation) error {
	_, err := h.shops.AcceptInvitation(ctx, &shopv1.AcceptInvitationRequest{Id: invitation.GetId()})
	return err
}

func (h *harness) role(shopID, userID string) string {
	h.t.Helper()
	m, err := h.product.CheckMembership(h.t.Context(),
		&shopv1.CheckMembershipRequest{ShopId: shopID, UserId: userID})
	require.NoError(h.t, err)
	return m.GetRole()
}

// A person becomes a member only by accepting, as a user with the invited and verified address.
func TestInvitedPersonAccepts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	bob, bobID := h.user(2)
	mallory, malloryID := h.user(3)
	unverified, unverifiedID := h.user(99)
	sh := h.create(t, alice, "Alice")
	i := h.invite(alice, "USR_"+bobID[4:]+"@Example.com", sh.GetHandle(), "owner")
	require.Equal(t, emailOf(bobID), i.GetEmail())
	require.Equal(t, []string{"evt.shop.member_invited"}, h.Events(i.GetId()))
	require.Empty(t, h.role(sh.GetId(), bobID))

	_, err := h.shops.InviteMember(alice,
		&shopv1.InviteMemberRequest{ShopId: sh.GetId(), Email: emailOf(bobID), Role: "staff"})
	require.True(t, errs.Is(err, errs.AlreadyExists), err)
	require.True(t, errs.Is(h.accept(mallory, i), errs.NotFound), "another person's")
	toUnverified := h.invite(alice, emailOf(unverifiedID), sh.GetId(), "owner")
	require.True(t, errs.Is(h.accept(unverified, toUnverified), errs.NotFound), "the address proves nothing")
	_, err = h.shops.DeclineInvitation(mallory, &shopv1.DeclineInvitationRequest{Id: i.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)

	for ctx, want := range map[context.Context]int{bob: 1, mallory: 0, unverified: 0} {
		mine, err := h.shops.ListMyInvitations(ctx, &shopv1.ListMyInvitationsRequest{})
		require.NoError(t, err)
		require.Len(t, mine.GetInvitations(), want)
	}
	for range 2 { // the answer was lost
		require.NoError(t, h.accept(bob, i))
	}
	require.Equal(t, "owner", h.role(sh.GetId(), bobID))
	require.Empty(t, h.role(sh.GetId(), malloryID))
	require.Zero(
		t,
		moduletest.Value[int](
			h.Service,
			`select count(*) from invitation where id = $1 and (email <> '' or sealed is not null)`,
			i.GetId(),
		),
		"the address is erased",
	)

	h.join(bob, alice, "usr_00000000000000000000000000000001", sh.GetId(), "staff")
	require.Equal(t, "owner", h.role(sh.GetId(), "usr_00000000000000000000000000000001"), "an owner stays one")
}

func TestOnlyOwnersAndOperatorsInvite(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	staff, staffID := h.user(2)
	stranger, _ := h.user(3)
	sh := h.create(t, alice, "Alice")
	h.join(alice, staff, staffID, sh.GetId(), "staff")
	i := h.invite(h.operator(), "new@example.com", sh.GetId(), "owner")
	for code, ctx := range map[errs.Code]context.Context{errs.Forbidden: staff, errs.NotFound: stranger} {
		req := &shopv1.InviteMemberRequest{ShopId: sh.GetId(), Email: "x@example.com", Role: "staff"}
		_, err := h.shops.InviteMember(ctx, req)
		require.True(t, errs.Is(err, code), err)
		_, err = h.shops.ListInvitations(ctx, &shopv1.ListInvitationsRequest{ShopId: sh.GetId()})
		require.True(t, errs.Is(err, code), err)
		_, err = h.shops.RevokeInvitation(ctx, &shopv1.RevokeInvitationRequest{ShopId: sh.GetId(), Id: i.GetId()})
		require.True(t, errs.Is(err, code), err)
	}
	other := h.create(t, alice, "Other")
	_, err := h.shops.RevokeInvitation(alice, &shopv1.RevokeInvitationRequest{ShopId: other.GetId(), Id: i.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), "of another shop")
	_, err = h.shops.RevokeInvitation(alice, &shopv1.RevokeInvitationRequest{ShopId: sh.GetId(), Id: i.GetId()})
	require.NoError(t, err)
	list, err := h.shops.ListInvitations(alice, &shopv1.ListInvitationsRequest{ShopId: sh.GetId()})
	require.NoError(t, err)
	require.Empty(t, list.GetInvitations())
}

func TestInvitationExpires(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	bob, bobID := h.user(2)
	sh := h.create(t, alice, "Alice")
	i := h.invite(alice, emailOf(bobID), sh.GetId(), "staff")
	h.clock.Advance(7 * 24 * time.Hour)
	require.True(t, errs.Is(h.accept(bob, i), errs.NotFound))
	require.NoError(t, h.accept(bob, h.invite(alice, emailOf(bobID), sh.GetId(), "staff")), "it can be repeated")
}

// What users can make the service keep is bounded: shops of a user, members and invitations of a shop.
func TestShopsAndMembersAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"max_per_user": 3, "max_members": 4}))
	alice, _ := h.user(1)
	bob, bobID := h.user(2)
	failed := moduletest.Concurrently(10, func(i int) error {
		_, err := h.shops.CreateShop(alice, &shopv1.CreateShopRequest{Name: fmt.Sprint("Shop ", i)})
		return err
	})
	made := 0
	for _, err := range failed {
		if err == nil {
			made++
			continue
		}
		require.True(t, errs.Is(err, errs.Conflict), err)
	}
	require.Equal(t, 3, made)

	mine, err := h.shops.ListMyShops(alice, &shopv1.ListMyShopsRequest{PageSize: 2})
	require.NoError(t, err)
	require.Len(t, mine.GetShops(), 2)
	rest, err := h.shops.ListMyShops(alice, &shopv1.ListMyShopsRequest{PageSize: 2, PageToken: mine.GetNextPageToken()})
	require.NoError(t, err)
	require.Len(t, rest.GetShops(), 1)
	require.Empty(t, rest.GetNextPageToken())

	shop := mine.GetShops()[0].GetId()
	for n := range 3 {
		h.create(t, bob, fmt.Sprint("Bob ", n))
	}
	toBob := h.invite(alice, emailOf(bobID), shop, "staff")
	require.True(t, errs.Is(h.accept(bob, toBob), errs.Conflict), "Bob has enough shops")
	h.invite(alice, "1@example.com", shop, "staff")
	h.invite(alice, "2@example.com", shop, "staff")
	_, err = h.shops.InviteMember(alice,
		&shopv1.InviteMemberRequest{ShopId: shop, Email: "3@example.com", Role: "staff"})
	require.True(t, errs.Is(err, errs.Conflict), err)
	h.Set("shop.max_per_user", 4)
	require.NoError(t, h.accept(bob, toBob), "an operator lets users have more shops")

	// An owner who revokes and invites again and again does not mail the whole world.
	sent := 3
	for ; err == nil || errs.Is(err, errs.Conflict); sent++ {
		list, listErr := h.shops.ListInvitations(alice, &shopv1.ListInvitationsRequest{ShopId: shop, PageSize: 1})
		require.NoError(t, listErr)
		revoke := &shopv1.RevokeInvitationRequest{ShopId: shop, Id: list.GetInvitations()[0].GetId()}
		_, revokeErr := h.shops.RevokeInvitation(alice, revoke)
		require.NoError(t, revokeErr)
		_, err = h.shops.InviteMember(alice,
			&shopv1.InviteMemberRequest{ShopId: shop, Email: fmt.Sprint("x", sent, "@example.com"), Role: "staff"})
	}
	require.True(t, errs.Is(err, errs.RateLimited), err)
	require.Equal(t, 21, sent)
}

func TestMembersArePaged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	sh := h.create(t, alice, "Alice")
	for n := 2; n < 8; n++ {
		member, memberID := h.user(n)
		h.join(alice, member, memberID, sh.GetId(), "staff")
	}
	seen := map[string]bool{}
	for token := ""; ; {
		res, err := h.shops.ListMembers(
			alice,
			&shopv1.ListMembersRequest{ShopId: sh.GetId(), PageSize: 3, PageToken: token},
		)
		require.NoError(t, err)
		require.LessOrEqual(t, len(res.GetMembers()), 3)
		for _, m := range res.GetMembers() {
			require.False(t, seen[m.GetUserId()], "twice")
			seen[m.GetUserId()] = true
		}
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Len(t, seen, 7)
}

func TestOperatorsListShopsByStatus(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	want := map[string]string{}
	for n := range 9 {
		h.clock.Advance(time.Second)
		sh := h.create(t, alice, fmt.Sprint("Shop ", n))
		status := []string{"unverified", "active", "suspended"}[n%3]
		if status != "unverified" {
			_, err := h.shops.SetShopStatus(h.operator(), &shopv1.SetShopStatusRequest{Id: sh.GetId(), Status: status})
			require.NoError(t, err)
		}
		want[sh.GetId()] = status
	}
	for _, status := range []string{"", "unverified", "active", "suspended"} {
		var got []*shopv1.Shop
		for token := ""; ; {
			res, err := h.shops.ListAllShops(h.operator(),
				&shopv1.ListAllShopsRequest{Status: status, PageSize: 2, PageToken: token})
			require.NoError(t, err)
			got = append(got, res.GetShops()...)
			if token = res.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Len(t, got, map[string]int{"": 9}[status]+map[bool]int{true: 3}[status != ""])
		for n, sh := range got {
			require.Equal(t, want[sh.GetId()], sh.GetStatus())
			require.True(
				t,
				n == 0 || got[n-1].GetCreatedAt().AsTime().After(sh.GetCreatedAt().AsTime()),
				"newest first",
			)
		}
	}
	_, err := h.shops.ListAllShops(alice, &shopv1.ListAllShopsRequest{})
	require.True(t, errs.Is(err, errs.Forbidden), err)
}

// Members of a suspended shop see it and change nothing.
func TestMembersOfASuspendedShopChangeNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user(1)
	bob, bobID := h.user(2)
	_, carolID := h.user(3)
	sh := h.create(t, alice, "Alice")
	h.join(alice, bob, bobID, sh.GetId(), "staff")
	open := h.invite(alice, emailOf(carolID), sh.GetId(), "staff")
	_, err := h.shops.SetShopStatus(h.operator(), &shopv1.SetShopStatusRequest{Id: sh.GetId(), Status: "suspended"})
	require.NoError(t, err)
	name := "Other"
	for what, change := range map[string]func() error{
		"profile": func() error {
			_, err := h.shops.UpdateShop(alice, &shopv1.UpdateShopRequest{Id: sh.GetId(), Name: &name})
			return err
		},
		"role": func() error {
			req := &shopv1.AddMemberRequest{ShopId: sh.GetId(), UserId: bobID, Role: "owner"}
			_, err := h.shops.AddMember(alice, req)
			return err
		},
		"remove": func() error {
			_, err := h.shops.RemoveMember(alice, &shopv1.RemoveMemberRequest{ShopId: sh.GetId(), UserId: bobID})
			return err
		},
		"invite": func() error {
			req := &shopv1.InviteMemberRequest{ShopId: sh.GetId(), Email: "x@example.com", Role: "staff"}
			_, err := h.shops.InviteMember(alice, req)
			return err
		},
		"revoke": func() error {
			req := &shopv1.RevokeInvitationRequest{ShopId: sh.GetId(), Id: open.GetId()}
			_, err := h.shops.RevokeInvitation(alice, req)
			return err
		},
	} {
		require.True(t, errs.Is(change(), errs.Forbidden), what)
	}
	carol, _ := h.user(3)
	require.True(t, errs.Is(h.accept(carol, open), errs.NotFound))
	m, err := h.product.CheckMembership(t.Context(),
		&shopv1.CheckMembershipRequest{ShopId: sh.GetId(), UserId: aliceID})
	require.NoError(t, err)
	require.Equal(t, "owner", m.GetRole(), "so that orders are fulfilled")
	require.Equal(t, "suspended", m.GetStatus())
	_, err = h.shops.ListMembers(alice, &shopv1.ListMembersRequest{ShopId: sh.GetId()})
	require.NoError(t, err)
	_, err = h.shops.UpdateShop(h.operator(), &shopv1.UpdateShopRequest{Id: sh.GetId(), Name: &name})
	require.NoError(t, err, "operators may")
}

func TestShopNamesAreNotWebAddresses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	sh := h.create(t, alice, "Alice")
	for _, name := range []string{"Win at evil.com", "https://evil.example", "www.evil.com"} {
		_, err := h.shops.CreateShop(alice, &shopv1.CreateShopRequest{Name: name, Handle: "evil"})
		require.True(t, errs.Is(err, errs.Invalid), name)
		_, err = h.shops.UpdateShop(alice, &shopv1.UpdateShopRequest{Id: sh.GetId(), Name: &name})
		require.True(t, errs.Is(err, errs.Invalid), name)
	}
	h.create(t, h.operator(), "Overstock.com")
}

func TestMembersMayLeave(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user(1)
	bob, bobID := h.user(2)
	carol, carolID := h.user(3)
	sh := h.create(t, alice, "Alice")
	h.join(alice, bob, bobID, sh.GetId(), "staff")
	h.join(alice, carol, carolID, sh.GetId(), "owner")
	remove := func(ctx context.Context, userID string) error {
		_, err := h.shops.RemoveMember(ctx, &shopv1.RemoveMemberRequest{ShopId: sh.GetId(), UserId: userID})
		return err
	}
	require.True(t, errs.Is(remove(bob, carolID), errs.Forbidden), "staff removes nobody else")
	require.NoError(t, remove(bob, bobID))
	require.True(t, errs.Is(remove(bob, bobID), errs.NotFound), "bob is no member any more")
	_, err := h.shops.SetShopStatus(h.operator(), &shopv1.SetShopStatusRequest{Id: sh.GetId(), Status: "suspended"})
	require.NoError(t, err)
	require.NoError(t, remove(carol, carolID))
	require.True(t, errs.Is(remove(alice, aliceID), errs.Conflict), "the last owner stays")
	require.Equal(t, "owner", h.role(sh.GetId(), aliceID))
}

func TestInvitationIsAcceptedSeveralTimesAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	bob, bobID := h.user(2)
	for i := range 10 {
		sh := h.create(t, alice, fmt.Sprint("Shop ", i))
		invitation := h.invite(alice, emailOf(bobID), sh.GetId(), "staff")
		for _, err := range moduletest.Concurrently(6, func(int) error { return h.accept(bob, invitation) }) {
			require.NoError(t, err)
		}
	}
}
