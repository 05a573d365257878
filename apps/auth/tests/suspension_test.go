package auth_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	"souk/apps/auth/internal/repository"
	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

// suspend says, as the user service, whether a user is suspended.
func (h *harness) suspend(userID string, suspended bool, revision int64) {
	h.t.Helper()
	_, err := authv1.NewAuthServiceClient(h.Client("user")).SetSuspension(h.t.Context(),
		&authv1.SetSuspensionRequest{UserId: userID, Suspended: suspended, Revision: revision})
	require.NoError(h.t, err)
}

// signIn signs in and returns the error of the sign-in.
func (h *harness) signIn() error {
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	_, err := h.complete(begun.GetLoginCookie(), code, state, "")
	return err
}

func TestSuspendedUserIsOutInEveryProcess(t *testing.T) {
	t.Parallel()
	h := setup(t)
	other := h.second()
	sessionID := h.login()
	token := h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), nil))
	who, err := h.session(sessionID)
	require.NoError(t, err)
	for _, p := range []*harness{h, other} {
		_, err = p.session(sessionID)
		require.NoError(t, err)
		_, err = p.bearer(token)
		require.NoError(t, err)
	}

	h.suspend(who.GetSubjectId(), true, 2)
	_, err = h.session(sessionID)
	requireCode(t, errs.Unauthenticated, err)
	_, err = h.bearer(token)
	requireCode(t, errs.AccountSuspended, err)
	requireCode(t, errs.AccountSuspended, h.signIn())
	waittest.Until(t, func() bool { // after Redis's invalidation
		_, err := other.session(sessionID)
		_, refused := other.bearer(token)
		return errs.Is(err, errs.Unauthenticated) && errs.Is(refused, errs.AccountSuspended)
	}, "the user is not out elsewhere")

	h.suspend(who.GetSubjectId(), false, 1) // late
	_, err = h.bearer(token)
	requireCode(t, errs.AccountSuspended, err)
	h.suspend(who.GetSubjectId(), false, 3)
	_, err = h.bearer(token)
	require.NoError(t, err)
	require.NoError(t, h.signIn())
	h.suspend(who.GetSubjectId(), true, 2) // late
	_, err = h.bearer(token)
	require.NoError(t, err)
	_, err = h.session(sessionID)
	requireCode(t, errs.Unauthenticated, err)
}

// TestUserServiceSaysWhoIsSuspended, so that a Redis that lost its data lets nobody in.
func TestUserServiceSaysWhoIsSuspended(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.users.suspended = true
	requireCode(t, errs.AccountSuspended, h.signIn())
	token := h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), nil))
	for range 2 { // nothing is remembered
		_, err := h.bearer(token)
		requireCode(t, errs.AccountSuspended, err)
	}
	require.Equal(t, []string{"customer", "seller"}, h.users.ensured()[0].GetRoles())
}

func TestUserServiceLearnsOfAdminsAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, roles := range [][]string{{"seller"}, {"seller"}, {"admin"}, {"admin"}, {"seller"}} {
		_, err := h.bearer(h.provider.sign(h.provider.rsaKey(),
			h.provider.claims(h.clock.Now(), map[string]any{"roles": roles})))
		require.NoError(t, err)
	}
	calls := h.users.ensured()
	require.Len(t, calls, 2)
	require.Contains(t, calls[1].GetRoles(), "admin")
}

// A sign-in that is in flight at the suspension opens no session.
func TestSignInsAndSuspensionLeaveNoSession(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := clock.NewManual(time.Now().UTC().Truncate(time.Millisecond))
	sessions := repository.New(redistest.Client(t), c, lifetimes, 100)
	for range 20 {
		user := "usr_" + credential.Random(8)
		var created sync.Map
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				digest, err := credential.SessionDigest(credential.NewSessionID())
				if err == nil {
					err = sessions.Create(ctx, digest, domain.NewSession(user, nil, c.Now(), lifetimes))
				}
				if err != nil && !errs.Is(err, errs.AccountSuspended) {
					t.Error(err)
				}
				created.Store(digest, true)
			})
		}
		wg.Go(func() {
			if err := sessions.SetSuspension(ctx, user, true, 1); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		created.Range(func(digest, _ any) bool {
			_, err := sessions.Get(ctx, digest.(string))
			return requireGone(t, err)
		})
	}
}

func requireGone(t *testing.T, err error) bool {
	t.Helper()
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "a session of a suspended user: %v", err)
	return true
}
