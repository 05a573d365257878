package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/permission"
)

// may returns what a user may do in a shop, as other services see it.
func (h *harness) may(shopID, userID string) []string {
	h.t.Helper()
	m, err := h.product.CheckMembership(h.t.Context(),
		&shopv1.CheckMembershipRequest{ShopId: shopID, UserId: userID})
	require.NoError(h.t, err)
	return m.GetPermissions()
}

func TestOwnersChooseWhatStaffMayDo(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user(1)
	bob, bobID := h.user(2)
	sh := h.create(t, alice, "Alice")
	require.Equal(t, permission.OfOwner(), h.may(sh.GetId(), aliceID))
	invited, err := h.shops.InviteMember(alice, &shopv1.InviteMemberRequest{
		ShopId: sh.GetId(), Email: emailOf(bobID), Role: "staff", Permissions: []string{"order.read"},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"order.read"}, invited.GetInvitation().GetPermissions())
	require.NoError(t, h.accept(bob, invited.GetInvitation()))
	require.Equal(t, []string{"order.read"}, h.may(sh.GetId(), bobID))

	city := "Fortaleza"
	update := func() error {
		_, err := h.shops.UpdateShop(bob, &shopv1.UpdateShopRequest{Id: sh.GetId(), City: &city})
		return err
	}
	list := func() error {
		_, err := h.shops.ListMembers(bob, &shopv1.ListMembersRequest{ShopId: sh.GetId()})
		return err
	}
	require.Equal(t, errs.Forbidden, errs.CodeOf(update()))
	require.Equal(t, errs.Forbidden, errs.CodeOf(list()))

	set := func(role string, names ...string) (*shopv1.Member, error) {
		res, err := h.shops.AddMember(alice,
			&shopv1.AddMemberRequest{ShopId: sh.GetId(), UserId: bobID, Role: role, Permissions: names})
		return res.GetMember(), err
	}
	m, err := set("staff", "shop.write", "member.read", "shop.write")
	require.NoError(t, err)
	require.Equal(t, []string{"member.read", "shop.write"}, m.GetPermissions())
	require.NoError(t, update())
	require.NoError(t, list())
	m, err = set("staff")
	require.NoError(t, err)
	require.Equal(t, permission.OfStaff(), m.GetPermissions(), "no choice: all that staff may do")

	for _, refused := range [][]string{
		{"staff", "member.manage"}, {"staff", "apikey.manage"}, {"staff", "access.manage"}, {"staff", "x"}, {"owner", "order.read"},
	} {
		_, err = set(refused[0], refused[1:]...)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", refused)
	}
	_, err = set("owner")
	require.NoError(t, err)
	require.Equal(t, permission.OfOwner(), h.may(sh.GetId(), bobID))
}

// The database is not trusted with more than staff may have.
func TestStaffNeverHaveWhatOwnersHave(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	bob, bobID := h.user(2)
	sh := h.create(t, alice, "Alice")
	h.join(alice, bob, bobID, sh.GetId(), "staff")
	_, err := h.Pool.Exec(
		t.Context(),
		`update member set permissions = '{member.manage,order.read}' where user_id = $1`,
		bobID,
	)
	require.NoError(t, err)
	require.Equal(t, []string{"order.read"}, h.may(sh.GetId(), bobID))
	_, err = h.shops.InviteMember(bob,
		&shopv1.InviteMemberRequest{ShopId: sh.GetId(), Email: "x@example.com", Role: "owner"})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err))
}
