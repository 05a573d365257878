package arch

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/gen/go/souk/services"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/permission"
	"souk/pkg/rpc"
)

// methodsOf returns all methods of the contracts.
func methodsOf(t *testing.T) []rpc.Method {
	t.Helper()
	var out []rpc.Method
	for _, s := range services.All() {
		if s.Contract == nil {
			continue
		}
		for i := range s.Contract.Services().Len() {
			contract := s.Contract.Services().Get(i)
			for j := range contract.Methods().Len() {
				m, err := rpc.FindMethod(
					"/" + string(contract.FullName()) + "/" + string(contract.Methods().Get(j).Name()),
				)
				require.NoError(t, err)
				out = append(out, m)
			}
		}
	}
	require.Greater(t, len(out), 100)
	return out
}

// now is when the people of the tests call.
var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// people are a user with each role, who has just signed in, with the default permissions, and an API key with all that a key may have.
func people() map[string]identity.Actor {
	out := map[string]identity.Actor{
		"key": {Kind: identity.KindKey, ID: "key_1", ShopID: "shp_1", Permissions: permission.OfKey()},
	}
	for _, role := range permission.Roles() {
		roles := []string{permission.RoleCustomer, role}
		out[role] = identity.Actor{
			Kind: identity.KindUser, ID: "usr_1", Roles: roles, Permissions: permission.Sets(nil).Of(roles),
			RecentUntil: now.Add(time.Second),
		}
	}
	return out
}

// Every method, also those without REST, says who may call it.
func TestMethodsAdmitByTheirPermission(t *testing.T) {
	t.Parallel()
	scopes := map[string]permission.Scope{}
	for _, p := range permission.All() {
		scopes[p.Name] = p.Scope
	}
	used := map[string]bool{
		"audit.read":         true,
		"user.read_personal": true,
		"access.manage":      true,
	} // by code alone
	for _, m := range methodsOf(t) {
		level, name := m.Access.GetLevel(), m.Access.GetPermission()
		require.NotZero(t, level, m.FullMethod)
		if name != "" {
			require.Contains(t, scopes, name, m.FullMethod)
			used[name] = true
		}
		for who, a := range people() {
			may := rpc.Admit(m.Access, a, now) == nil
			later := errs.CodeOf(rpc.Admit(m.Access, a, now.Add(time.Second)))
			require.Equal(
				t,
				may && m.Access.GetRecentSignIn(),
				later == errs.SignInAgain,
				"%s as %s",
				m.FullMethod,
				who,
			)
			require.False(t, m.ReadOnly && m.Access.GetRecentSignIn(), m.FullMethod)
			switch level {
			case optionsv1.Level_LEVEL_PUBLIC:
				require.True(t, may, "%s as %s", m.FullMethod, who)
			case optionsv1.Level_LEVEL_GUEST, optionsv1.Level_LEVEL_SIGNED_IN:
				require.Equal(t, a.IsUser(), may, "%s as %s", m.FullMethod, who)
			case optionsv1.Level_LEVEL_PERMISSION:
				require.NotEmpty(t, name, m.FullMethod)
				require.Equal(t, a.Can(name), may, "%s as %s", m.FullMethod, who)
				if who == permission.RoleCustomer || who == permission.RoleSeller {
					require.False(t, may, "%s as %s", m.FullMethod, who)
				}
			case optionsv1.Level_LEVEL_SHOP_PERMISSION:
				require.Greater(
					t,
					scopes[name],
					permission.Marketplace,
					"%s: nobody has %s in a shop",
					m.FullMethod,
					name,
				)
				require.Equal(t, a.IsUser() || scopes[name] == permission.Keys, may, "%s as %s", m.FullMethod, who)
			default:
				require.Equal(t, optionsv1.Level_LEVEL_INTERNAL, level, m.FullMethod)
				require.False(t, may, "%s as %s", m.FullMethod, who)
			}
		}
		if readsOnly := strings.HasSuffix(name, ".read"); readsOnly && level != optionsv1.Level_LEVEL_PUBLIC {
			require.True(t, m.Idempotent, "%s asks for %s, so it writes nothing", m.FullMethod, name)
		}
	}
	for name := range scopes {
		require.True(t, used[name], "nothing asks for %s", name)
	}
}
