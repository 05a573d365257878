package permission_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/errs"
	"souk/pkg/permission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPermissionsAreSortedAndDescribed(t *testing.T) {
	t.Parallel()
	names := permission.Names()
	require.True(t, slices.IsSorted(names))
	require.Len(t, slices.Compact(slices.Clone(names)), len(names))
	for _, p := range permission.All() {
		require.Regexp(t, `^[a-z]+\.[a-z_]+$`, p.Name)
		require.NotEmpty(t, p.Description)
		require.True(t, permission.Known(p.Name))
	}
	require.False(t, permission.Known("order.steal"))
}

func TestDefaultsOfRoles(t *testing.T) {
	t.Parallel()
	for _, role := range permission.Roles() {
		set := permission.Default(role)
		require.True(t, slices.IsSorted(set), role)
		require.Equal(t, permission.Privileged(role), len(set) > 0, role)
		for _, name := range set {
			require.True(t, permission.Known(name), "%s: %s", role, name)
		}
	}
	require.Equal(t, permission.Names(), permission.Default(permission.RoleAdmin))
	require.NotContains(t, permission.Default(permission.RoleOperator), permission.AccessManage)
	for _, role := range []string{permission.RoleSupport, permission.RoleAuditor} {
		for _, name := range permission.Default(role) {
			require.Regexp(t, `\.read$`, name, "%s writes nothing, and sees personal data masked", role)
		}
	}
}

// Nobody but an owner chooses members and keys, so staff and keys cannot give themselves more.
func TestStaffAndKeysCannotGiveThemselvesMore(t *testing.T) {
	t.Parallel()
	require.Subset(t, permission.OfOwner(), permission.OfStaff())
	require.Subset(t, permission.OfStaff(), permission.OfKey())
	for _, name := range []string{permission.MemberManage, permission.KeyManage} {
		require.Contains(t, permission.OfOwner(), name)
		require.NotContains(t, permission.OfStaff(), name)
	}
	require.NotContains(t, permission.OfOwner(), permission.AccessManage)
}

func TestSetsReplaceDefaults(t *testing.T) {
	t.Parallel()
	var none permission.Sets
	require.Nil(t, none.Of([]string{"customer", "seller"}))
	require.Equal(t, permission.Default("support"), none.Of([]string{"customer", "support"}))
	s := permission.Sets{"support": {"user.read"}, "auditor": {}, "admin": {}}
	require.Equal(t, []string{"user.read"}, s.Of([]string{"customer", "support", "auditor"}))
	require.Equal(t, permission.Names(), s.Of([]string{"admin"}), "an admin has all, whatever is set")
	both := s.Of([]string{"support", "operator"})
	require.True(t, slices.IsSorted(both))
	require.Equal(t, permission.Default("operator"), both, "user.read is there once")
	require.Equal(t, []string{"user.read"}, s["support"], "a shared set is not changed")
	require.Nil(t, s.Of([]string{"root"}))
}

func TestCheckNamesWhatIsUnknown(t *testing.T) {
	t.Parallel()
	got, err := permission.Check("scopes", []string{"order.read", "order.cancel", "order.read"}, permission.OfKey())
	require.NoError(t, err)
	require.Equal(t, []string{"order.cancel", "order.read"}, got)
	for _, name := range []string{"order.steal", permission.MemberManage, ""} {
		_, err = permission.Check("scopes", []string{"order.read", name}, permission.OfKey())
		require.Equal(t, errs.Invalid, errs.CodeOf(err))
		require.Equal(t, "scopes", errs.From(err).Fields[0].Path)
		require.Contains(t, errs.From(err).Fields[0].Message, `"`+name+`"`)
	}
}
