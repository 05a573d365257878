package tests

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/permission"
)

const support = "access.role.support"

// give sets what people with the role support may do.
func (h *harness) give(ctx context.Context, expected int32, names ...any) error {
	h.t.Helper()
	list, err := structpb.NewValue(names)
	require.NoError(h.t, err)
	_, err = h.client.UpdateSetting(ctx,
		&settingsv1.UpdateSettingRequest{Key: support, Value: list, ExpectedVersion: expected})
	return err
}

func TestOnlyWhoMayManageAccessChangesRoles(t *testing.T) {
	t.Parallel()
	h := setup(t)
	operator, admin := h.asOperator(), h.AsUser("usr_admin", permission.RoleAdmin)
	requireCode(t, errs.Forbidden, h.give(operator, 0, "order.read"))
	err := h.give(admin, 0, "order.read", "order.steal")
	requireCode(t, errs.Invalid, err)
	require.ErrorContains(t, err, "order.steal")
	require.NoError(t, h.give(admin, 0, "order.read", "order.cancel"))
	for _, version := range []int32{0, 1} {
		_, err = h.client.RollbackSetting(operator, &settingsv1.RollbackSettingRequest{Key: support, Version: &version})
		requireCode(t, errs.Forbidden, err)
	}
	zero := int32(0)
	_, err = h.client.RollbackSetting(admin, &settingsv1.RollbackSettingRequest{Key: support, Version: &zero})
	require.NoError(t, err)
}

// A user who may manage access, and no more, gives nothing that the user lacks: neither by a value, nor by an earlier
// version, nor by the default.
func TestNobodyGivesWhatHeDoesNotHave(t *testing.T) {
	t.Parallel()
	h := setup(t)
	admin := h.AsUser("usr_admin", permission.RoleAdmin)
	limited := h.As(identity.Actor{
		Kind: identity.KindUser, ID: "usr_limited",
		Permissions: []string{"access.manage", "order.read", "settings.read", "settings.write"},
	})
	require.NoError(t, h.give(admin, 0, "user.read"))
	requireCode(t, errs.Forbidden, h.give(limited, 1, "order.read", "user.read"))
	require.NoError(t, h.give(limited, 1, "order.read"))
	one := int32(1)
	_, err := h.client.RollbackSetting(limited, &settingsv1.RollbackSettingRequest{Key: support, Version: &one})
	requireCode(t, errs.Forbidden, err)
	_, err = h.client.UpdateSetting(limited, &settingsv1.UpdateSettingRequest{
		Key: support, ExpectedVersion: 2, Value: structpb.NewNullValue(),
	})
	requireCode(t, errs.Forbidden, err)
	require.NoError(t, h.give(limited, 2))
}
