package user_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "souk/gen/go/souk/auth/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// authService fakes the auth service.
type authService struct {
	authv1.UnimplementedAuthServiceServer
	mu sync.Mutex
	// failures is how many calls fail, and calls are those that did not.
	failures int
	calls    []*authv1.SetSuspensionRequest
	ended    []string // users whose sessions were ended
}

func (a *authService) EndSessions(
	_ context.Context, in *authv1.EndSessionsRequest,
) (*authv1.EndSessionsResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append(a.ended, in.GetUserId())
	return &authv1.EndSessionsResponse{Ended: 3}, nil
}

func (a *authService) SetSuspension(
	_ context.Context, in *authv1.SetSuspensionRequest,
) (*authv1.SetSuspensionResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failures > 0 {
		a.failures--
		return nil, errs.New(errs.Unavailable, "away")
	}
	a.calls = append(a.calls, in)
	return &authv1.SetSuspensionResponse{}, nil
}

// called waits for the n-th call, and returns it.
func (a *authService) called(t *testing.T, n int) *authv1.SetSuspensionRequest {
	t.Helper()
	var last *authv1.SetSuspensionRequest
	waittest.Until(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.calls) >= n {
			last = a.calls[n-1]
		}
		return last != nil
	}, "auth is not called")
	return last
}

func TestOperatorSuspendsAndReinstates(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ann := h.ensure("ann", "ann@example.com", "Ann").GetUser().GetId()
	olga := h.AsUser("usr_olga", "operator")
	h.authService.failures = 2
	suspend := &userv1.SuspendUserRequest{Id: ann, Reason: " sold counterfeits "}
	res, err := h.users.SuspendUser(olga, suspend)
	require.NoError(t, err)
	require.Equal(t, "sold counterfeits", res.GetUser().GetSuspension().GetReason())
	require.NotNil(t, res.GetUser().GetSuspension().GetSuspendedAt())
	first := h.authService.called(t, 1)
	require.Equal(t, ann, first.GetUserId())
	require.True(t, first.GetSuspended())

	again, err := h.users.SuspendUser(olga, &userv1.SuspendUserRequest{Id: ann, Reason: "other"})
	require.NoError(t, err)
	require.Equal(t, "sold counterfeits", again.GetUser().GetSuspension().GetReason(), "the first reason stays")
	require.NotNil(t, h.ensure("ann", "ann@example.com", "Ann").GetUser().GetSuspension())

	back, err := h.users.ReinstateUser(olga, &userv1.ReinstateUserRequest{Id: ann})
	require.NoError(t, err)
	require.Nil(t, back.GetUser().GetSuspension())
	second := h.authService.called(t, 2)
	require.False(t, second.GetSuspended())
	require.Greater(t, second.GetRevision(), first.GetRevision())
	_, err = h.users.ReinstateUser(olga, &userv1.ReinstateUserRequest{Id: ann})
	require.NoError(t, err)
	require.Equal(t, []string{"evt.user.registered", "evt.user.suspended", "evt.user.reinstated"}, h.Events(ann))

	_, err = h.users.SuspendUser(olga, &userv1.SuspendUserRequest{Id: "usr_unknown", Reason: "x"})
	requireCode(t, errs.NotFound, err)
	_, err = h.users.SuspendUser(olga, &userv1.SuspendUserRequest{Id: ann})
	requireCode(t, errs.Invalid, err)
	_, err = h.users.SuspendUser(h.AsUser("usr_sam", "support"), suspend)
	requireCode(t, errs.Forbidden, err)
	longAgo := moduletest.User("usr_olga", "operator")
	longAgo.RecentUntil = time.Now().Add(-time.Second)
	_, err = h.users.SuspendUser(h.As(longAgo), suspend)
	requireCode(t, errs.SignInAgain, err)
}

func TestNobodySuspendsHimselfOrSomebodyAbove(t *testing.T) {
	t.Parallel()
	h := setup(t)
	admin := func(subject string) string {
		res, err := h.auth.EnsureUser(t.Context(), &userv1.EnsureUserRequest{
			Issuer: "https://id.example.com", Subject: subject, Roles: []string{"customer", "admin"},
		})
		require.NoError(t, err)
		return res.GetUser().GetId()
	}
	ada, alan := admin("ada"), admin("alan")
	h.ensure("ada", "ada@example.com", "Ada") // a token without the role changes nothing
	olga := h.ensure("olga", "olga@example.com", "Olga").GetUser().GetId()
	suspend := func(by context.Context, id string) error {
		_, err := h.users.SuspendUser(by, &userv1.SuspendUserRequest{Id: id, Reason: "x"})
		return err
	}
	requireCode(t, errs.Forbidden, suspend(h.AsUser(olga, "operator"), olga))
	requireCode(t, errs.Forbidden, suspend(h.AsUser(olga, "operator"), ada))
	requireCode(t, errs.Forbidden, suspend(h.AsUser(ada, "admin"), ada))
	require.NoError(t, suspend(h.AsUser(ada, "admin"), alan))
	require.NoError(t, suspend(h.AsUser(ada, "admin"), olga))
}

func TestOperatorEndsSessions(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ann := h.ensure("ann", "ann@example.com", "Ann").GetUser().GetId()
	olga := h.AsUser("usr_olga", "operator")
	res, err := h.users.RevokeSessions(olga, &userv1.RevokeSessionsRequest{Id: ann})
	require.NoError(t, err)
	require.Equal(t, int32(3), res.GetEnded())
	require.Equal(t, []string{ann}, h.authService.ended)
	_, err = h.users.RevokeSessions(olga, &userv1.RevokeSessionsRequest{Id: "usr_unknown"})
	requireCode(t, errs.NotFound, err)
	_, err = h.users.RevokeSessions(h.AsUser("usr_sam", "support"), &userv1.RevokeSessionsRequest{Id: ann})
	requireCode(t, errs.Forbidden, err)
}
