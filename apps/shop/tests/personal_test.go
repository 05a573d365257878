package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestInvitationsAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	_, bobID := h.user(2)
	sh := h.create(t, alice, "Alice")
	h.invite(alice, emailOf(bobID), sh.GetId(), "staff")
	stored := func() string {
		return moduletest.Value[string](h.Service, `select string_agg(i::text, ' ') from invitation i`)
	}
	require.NotContains(t, stored(), emailOf(bobID))
	h.Stop()
	_, err := h.Pool.Exec(t.Context(), `update invitation set email = $1, sealed = null`, emailOf(bobID))
	require.NoError(t, err)
	h.Another()
	waittest.Until(t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from invitation where sealed is null`) == 0
	}, "the invitation of before is not encrypted")
	require.NotContains(t, stored(), emailOf(bobID))
}
