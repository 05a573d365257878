package user_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
)

// A name is written into mails, where a web address would be a link.
func TestNameIsNoWebAddress(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.AsUser(h.ensure("ann", "ann@example.com", "Ann").GetUser().GetId())
	for _, name := range []string{"Win: evil.com", "https://evil.example/a", "www.evil.com"} {
		_, err := h.users.UpdateMe(ctx, &userv1.UpdateMeRequest{Name: &name})
		require.True(t, errs.Is(err, errs.Invalid), name)
		require.Equal(t, "Ann", h.ensure("ann", "", name).GetUser().GetName(), "the provider's name is left out")
	}
}
