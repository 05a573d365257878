package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// loginFrom signs in with a browser from an address.
func (h *harness) loginFrom(userAgent, address string) string {
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	res, err := h.auth.CompleteLogin(h.t.Context(), &authv1.CompleteLoginRequest{
		Code: code, State: state, LoginCookie: begun.GetLoginCookie(), UserAgent: userAgent, Address: address,
	})
	require.NoError(h.t, err)
	return res.GetSessionId()
}

// as returns the context of a call by the user of a session, as the gateway makes it.
func (h *harness) as(sessionID string) context.Context {
	who, err := h.session(sessionID)
	require.NoError(h.t, err)
	return h.As(identity.Actor{Kind: identity.KindUser, ID: who.GetSubjectId(), SessionID: who.GetSessionId()})
}

func (h *harness) list(ctx context.Context) []*authv1.Session {
	res, err := h.auth.ListSessions(ctx, &authv1.ListSessionsRequest{})
	require.NoError(h.t, err)
	return res.GetSessions()
}

func TestUserSeesSessionsAndEndsOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	began := h.clock.Now()
	old := h.loginFrom("", "")
	h.clock.Advance(time.Hour)
	used := h.loginFrom(firefox, "203.0.113.7")
	h.clock.Advance(time.Hour)
	as := h.as(used)
	got := h.list(as)
	require.Len(t, got, 2)
	require.Equal(t, "Firefox on Linux", got[0].GetBrowser())
	require.Equal(t, "203.0.113.7", got[0].GetAddress())
	require.True(t, got[0].GetCurrent())
	require.Equal(t, began.Add(time.Hour), got[0].GetCreatedAt().AsTime())
	require.Equal(t, began.Add(2*time.Hour), got[0].GetLastUsedAt().AsTime())
	require.Equal(t, began.Add(time.Hour+lifetimes.Absolute), got[0].GetExpiresAt().AsTime())
	require.Empty(t, got[1].GetBrowser())
	require.False(t, got[1].GetCurrent())
	require.Equal(t, began, got[1].GetLastUsedAt().AsTime())

	// What is shown opens nothing.
	for _, s := range got {
		require.True(t, id.Valid(id.Session, s.GetId()))
		_, err := h.session(s.GetId())
		requireCode(t, errs.Unauthenticated, err)
	}
	// Nobody ends a session of another.
	mallory := h.As(identity.Actor{Kind: identity.KindUser, ID: id.New(id.User)})
	require.Empty(t, h.list(mallory))
	_, err := h.auth.EndSession(mallory, &authv1.EndSessionRequest{Id: got[1].GetId()})
	requireCode(t, errs.NotFound, err)

	_, err = h.auth.EndSession(as, &authv1.EndSessionRequest{Id: got[1].GetId()})
	require.NoError(t, err)
	_, err = h.session(old)
	requireCode(t, errs.Unauthenticated, err)
	require.Len(t, h.list(as), 1)
	_, err = h.auth.EndSession(as, &authv1.EndSessionRequest{Id: got[1].GetId()})
	requireCode(t, errs.NotFound, err)
}

func TestUserEndsAllOtherSessions(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a, b, c := h.login(), h.login(), h.login()
	as := h.as(b)
	res, err := h.auth.EndOtherSessions(as, &authv1.EndOtherSessionsRequest{})
	require.NoError(t, err)
	require.Equal(t, int32(2), res.GetEnded())
	for _, ended := range []string{a, c} {
		_, err = h.session(ended)
		requireCode(t, errs.Unauthenticated, err)
	}
	require.Len(t, h.list(as), 1)
	// With an access token there is no session to keep.
	who, err := h.session(b)
	require.NoError(t, err)
	res, err = h.auth.EndOtherSessions(h.AsUser(who.GetSubjectId()), &authv1.EndOtherSessionsRequest{})
	require.NoError(t, err)
	require.Equal(t, int32(1), res.GetEnded())
}

func TestUserServiceEndsSessions(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a := h.login()
	who, err := h.session(a)
	require.NoError(t, err)
	end := &authv1.EndSessionsRequest{UserId: who.GetSubjectId()}
	_, err = h.auth.EndSessions(t.Context(), end)
	require.Error(t, err, "the gateway has no business there")
	res, err := authv1.NewAuthServiceClient(h.Client("user")).EndSessions(t.Context(), end)
	require.NoError(t, err)
	require.Equal(t, int32(1), res.GetEnded())
	_, err = h.session(a)
	requireCode(t, errs.Unauthenticated, err)
	require.NoError(t, h.signIn())
}

// A session that was not used for too long is not shown, and one more than allowed ends the first to end.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"session": map[string]any{"max_per_user": 2}}))
	first := h.login()
	h.clock.Advance(time.Second)
	second := h.login()
	h.clock.Advance(time.Second)
	third := h.login()
	_, err := h.session(first)
	requireCode(t, errs.Unauthenticated, err)
	_, err = h.session(second)
	require.NoError(t, err)
	h.clock.Advance(lifetimes.Idle - time.Hour)
	_, err = h.session(third)
	require.NoError(t, err)
	h.clock.Advance(time.Hour)
	got := h.list(h.as(third))
	require.Len(t, got, 1)
	digest, err := credential.SessionDigest(third)
	require.NoError(t, err)
	require.Equal(t, credential.PublicSessionID(digest), got[0].GetId())
}

func TestBrowsersAreNamed(t *testing.T) {
	t.Parallel()
	for userAgent, want := range map[string]string{
		firefox: "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                              "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":                "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36":          "Samsung Internet on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1":      "Safari on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.46 Mobile/15E148 Safari/604": "Chrome on iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15":                        "Safari on macOS",
		"curl/8.5.0": "", "": "", "Linux": "Linux",
	} {
		require.Equal(t, want, domain.Browser(userAgent), userAgent)
	}
}
