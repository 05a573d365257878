package auth_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

// beginAs begins a sign-in with limits of its age.
func (h *harness) beginAs(maxAge int64, again bool) *authv1.BeginLoginResponse {
	res, err := h.auth.BeginLogin(h.t.Context(),
		&authv1.BeginLoginRequest{RedirectUri: redirectURI, MaxAge: maxAge, Again: again})
	require.NoError(h.t, err)
	return res
}

// authenticatedAt makes the provider say that the user entered credentials at a time; zero: it says nothing.
func (h *harness) authenticatedAt(at time.Time) {
	h.provider.mu.Lock()
	defer h.provider.mu.Unlock()
	delete(h.provider.idClaims, "auth_time")
	if !at.IsZero() {
		h.provider.idClaims["auth_time"] = at.Unix()
	}
}

func TestSignInIsAsRecentAsAsked(t *testing.T) {
	t.Parallel()
	h := setup(t)
	now := h.clock.Now()
	for name, c := range map[string]struct {
		maxAge int64
		again  bool
		at     time.Time
		want   errs.Code
	}{
		"anything goes":                {0, false, time.Time{}, ""},
		"within the age":               {600, false, now.Add(-9 * time.Minute), ""},
		"before it":                    {600, false, now.Add(-11 * time.Minute), errs.SignInAgain},
		"the provider does not say it": {600, false, time.Time{}, errs.SignInAgain},
		"again":                        {0, true, now.Add(time.Second), ""},
		"again, but it was before":     {0, true, now.Add(-time.Minute), errs.SignInAgain},
		"again within an age":          {600, true, now.Add(-time.Minute), errs.SignInAgain},
	} {
		begun := h.beginAs(c.maxAge, c.again)
		u, err := url.Parse(begun.GetAuthorizeUrl())
		require.NoError(t, err)
		require.Equal(t, c.maxAge > 0, u.Query().Get("max_age") == "600", name)
		require.Equal(t, c.again, u.Query().Get("prompt") == "login", name)
		h.authenticatedAt(c.at)
		code, state := h.provider.authorize(begun.GetAuthorizeUrl())
		_, err = h.complete(begun.GetLoginCookie(), code, state, "")
		require.Equal(t, c.want, errs.CodeOf(err), "%s: %v", name, err)
	}
}

func TestSignInIsRecentForAWhile(t *testing.T) {
	t.Parallel()
	h := setup(t)
	at := h.clock.Now().Truncate(time.Second).Add(-time.Minute)
	h.authenticatedAt(at)
	who, err := h.session(h.login())
	require.NoError(t, err)
	require.Equal(t, at.Add(10*time.Minute), who.GetRecentUntil().AsTime())
	require.Equal(t, int64(600), who.GetRecentSeconds())
	h.authenticatedAt(time.Time{})
	who, err = h.session(h.login())
	require.NoError(t, err)
	require.Nil(t, who.GetRecentUntil())
	for name, c := range map[string]struct {
		claim any
		until time.Time
	}{
		"auth_time":   {at.Unix(), at.Add(10 * time.Minute)},
		"none":        {nil, time.Time{}},
		"in the past": {int64(1), time.Unix(601, 0).UTC()},
		"to come":     {h.clock.Now().Add(time.Minute).Unix(), time.Time{}},
	} {
		who, err = h.bearer(h.provider.sign(h.provider.rsaKey(),
			h.provider.claims(h.clock.Now(), map[string]any{"auth_time": c.claim})))
		require.NoError(t, err, name)
		require.Equal(t, c.until.IsZero(), who.GetRecentUntil() == nil, name)
		if !c.until.IsZero() {
			require.Equal(t, c.until, who.GetRecentUntil().AsTime(), name)
		}
	}
	guest, err := h.auth.CreateGuest(t.Context(), &authv1.CreateGuestRequest{})
	require.NoError(t, err)
	who, err = h.bearer(guest.GetToken())
	require.NoError(t, err)
	require.Nil(t, who.GetRecentUntil())
}

func TestRecentSignInsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"recent_sign_in": "0s"}))
	who, err := h.session(h.login())
	require.NoError(t, err)
	require.True(t, who.GetRecentUntil().AsTime().After(h.clock.Now().AddDate(100, 0, 0)))
	require.Zero(t, who.GetRecentSeconds())
}
