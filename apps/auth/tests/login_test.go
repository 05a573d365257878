package auth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
)

func TestLoginOpensSessionOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	begun := h.begin("/cart?step=2")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	res, err := h.complete(begun.GetLoginCookie(), code, state, "")
	require.NoError(t, err)
	require.Equal(t, "/cart?step=2", res.GetReturnTo())
	require.WithinDuration(t, h.clock.Now().Add(lifetimes.Absolute), res.GetExpiresAt().AsTime(), time.Second)

	who, err := h.session(res.GetSessionId())
	require.NoError(t, err)
	require.Equal(t, "user", who.GetKind())
	require.Equal(t, []string{"customer", "seller"}, who.GetRoles())
	require.Nil(t, who.GetReusableUntil())
	ensured := h.users.ensured()
	require.Len(t, ensured, 1)
	require.Equal(t, h.provider.URL, ensured[0].GetIssuer())
	require.Equal(t, "sub-ann", ensured[0].GetSubject())
	require.Equal(t, "ann@example.com", ensured[0].GetEmail())
	require.True(t, ensured[0].GetEmailVerified())

	// A code is valid once, and the values of one sign-in open no second session.
	_, err = h.complete(begun.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Unauthenticated, err)
	require.NotEqual(t, res.GetSessionId(), h.login(), "every sign-in gets a new session ID")
}

// A sign-in is recorded with the browser before its session exists.
func TestLoginRecordsTheBrowser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	signIn := func(device string) (*authv1.CompleteLoginResponse, error) {
		begun := h.begin("/")
		code, state := h.provider.authorize(begun.GetAuthorizeUrl())
		return h.auth.CompleteLogin(t.Context(), &authv1.CompleteLoginRequest{
			Code: code, State: state, LoginCookie: begun.GetLoginCookie(), Device: device,
		})
	}
	first, err := signIn("")
	require.NoError(t, err)
	again, err := signIn(first.GetDevice())
	require.NoError(t, err)
	require.Equal(t, first.GetDevice(), again.GetDevice())
	other, err := signIn("made up")
	require.NoError(t, err)
	require.NotEqual(t, first.GetDevice(), other.GetDevice())
	seen := h.users.devices
	require.Len(t, seen, 3)
	require.Equal(t, seen[0], seen[1])
	require.NotEqual(t, seen[0], seen[2])
	require.NotContains(t, seen, first.GetDevice(), "only a digest is kept")

	// A browser has something to keep before its first sign-in ends, which may fail and be repeated.
	fresh := h.begin("/").GetDevice()
	require.NotEmpty(t, fresh)
	begun, err := h.auth.BeginLogin(t.Context(), &authv1.BeginLoginRequest{RedirectUri: redirectURI, Device: fresh})
	require.NoError(t, err)
	require.Equal(t, fresh, begun.GetDevice())
	kept, err := signIn(fresh)
	require.NoError(t, err)
	require.Equal(t, fresh, kept.GetDevice())

	h.users.err = errs.New(errs.Unavailable, "the database is away")
	_, err = signIn(first.GetDevice())
	requireCode(t, errs.Unavailable, err)
}

func TestLoginNeedsItsOwnCookieAndState(t *testing.T) {
	t.Parallel()
	h := setup(t)
	begun, other := h.begin("/"), h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	_, otherState := h.provider.authorize(other.GetAuthorizeUrl())
	cookie := begun.GetLoginCookie()
	flipped := []byte(cookie)
	flipped[20] ^= 1
	elsewhere, err := credential.NewSealer([]byte("the key of another installation!"), h.clock)
	require.NoError(t, err)
	foreign, err := elsewhere.Seal(domain.Login{State: state, ReturnTo: "/", Expires: h.clock.Now().Add(time.Minute)})
	require.NoError(t, err)
	for name, c := range map[string]struct{ cookie, state string }{
		"wrong state":                    {cookie, "x" + state},
		"state of another":               {cookie, otherState},
		"cookie of another":              {other.GetLoginCookie(), state},
		"tampered cookie":                {string(flipped), state},
		"truncated cookie":               {cookie[:40], state},
		"cookie with a tail":             {cookie + "AAAA", state},
		"cookie of another installation": {foreign, state},
		"no cookie of ours":              {"eyJzIjoiIn0", state},
		"cookie is not ASCII":            {"\u00e9", state},
	} {
		_, err := h.complete(c.cookie, code, c.state, "")
		requireCode(t, errs.Unauthenticated, err)
		require.NotContains(t, err.Error(), cookie, name)
	}
	_, err = h.complete(cookie, code, state, "") // the failures above did not use up the code
	require.NoError(t, err)

	late := h.begin("/")
	code, state = h.provider.authorize(late.GetAuthorizeUrl())
	h.clock.Advance(10 * time.Minute)
	_, err = h.complete(late.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Unauthenticated, err)
}

func TestInvalidIDTokenIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]any{
		"nonce":        {"nonce": "of another sign-in"},
		"no nonce":     {"nonce": ""},
		"issuer":       {"iss": "https://evil.example"},
		"audience":     {"aud": "another-client"},
		"expired":      {"exp": time.Now().Add(-time.Minute).Unix()},
		"subject":      {"sub": ""},
		"access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.provider.idClaims = change
			begun := h.begin("/")
			code, state := h.provider.authorize(begun.GetAuthorizeUrl())
			_, err := h.complete(begun.GetLoginCookie(), code, state, "")
			requireCode(t, errs.Unauthenticated, err)
			require.Empty(t, h.users.ensured())
		})
	}
}

func TestReturnToIsALocalPath(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for in, want := range map[string]string{
		"/":                             "/",
		"/orders/ord_1?x=1#y":           "/orders/ord_1?x=1#y",
		"/é":                            "/é",
		"":                              "/",
		"orders":                        "/",
		"//evil.example":                "/",
		"///evil.example":               "/",
		"/\\evil.example":               "/",
		"\\\\evil.example":              "/",
		"/\t/evil.example":              "/",
		"/\n/evil.example":              "/",
		" //evil.example":               "/",
		"https://evil.example":          "/",
		"https:evil.example":            "/",
		"javascript:alert(1)":           "/",
		"/x\r\nSet-Cookie: a=b":         "/",
		"/" + strings.Repeat("a", 1600): "/",
	} {
		begun := h.begin(in)
		code, state := h.provider.authorize(begun.GetAuthorizeUrl())
		res, err := h.complete(begun.GetLoginCookie(), code, state, "")
		require.NoError(t, err)
		require.Equal(t, want, res.GetReturnTo(), "%q", in)
		require.Less(t, len(begun.GetLoginCookie()), 3800,
			"a cookie has at most 4096 bytes, name and attributes included")
	}
	_, err := h.auth.BeginLogin(t.Context(), &authv1.BeginLoginRequest{RedirectUri: "javascript:alert(1)"})
	requireCode(t, errs.Invalid, err)
}

func TestLoginWorksOnceProviderIsUp(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.provider.down.Store(true)
	_, err := h.auth.BeginLogin(t.Context(), &authv1.BeginLoginRequest{RedirectUri: redirectURI})
	requireCode(t, errs.Unavailable, err)
	require.NotZero(t, errs.From(err).RetryAfter)
	_, err = h.bearer(h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), nil)))
	requireCode(t, errs.Unavailable, err)
	h.provider.down.Store(false)
	h.clock.Advance(2 * time.Second)
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())

	h.provider.down.Store(true) // between the two halves
	_, err = h.complete(begun.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Unavailable, err)
	h.provider.down.Store(false)
	h.clock.Advance(2 * time.Second)
	_, err = h.complete(begun.GetLoginCookie(), code, state, "")
	require.NoError(t, err)
}

func TestWrongClientSecretIsInternal(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.provider.tokenAnswer = func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"not ` + clientSecret + `"}`))
		return true
	}
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	_, err := h.complete(begun.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Internal, err)
	h.Stop()
	require.Contains(t, h.Logs(), "refuses client_id and client_secret")
	require.NotContains(t, h.Logs(), clientSecret)
}

func TestOperatorSessionIsShort(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.provider.idClaims = map[string]any{"sub": "sub-zoe", "email": "", "roles": []string{"operator", "root"}}
	h.provider.userinfo = map[string]any{"sub": "sub-zoe", "email": "zoe@example.com"}
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	res, err := h.complete(begun.GetLoginCookie(), code, state, "")
	require.NoError(t, err)
	require.Equal(t, "zoe@example.com", h.users.ensured()[0].GetEmail())
	who, err := h.session(res.GetSessionId())
	require.NoError(t, err)
	require.Equal(t, []string{"customer", "operator"}, who.GetRoles(), "root is not a role of souk")

	// An operator's session is short.
	require.WithinDuration(t, h.clock.Now().Add(lifetimes.Operator), res.GetExpiresAt().AsTime(), time.Second)
	h.clock.Advance(lifetimes.Operator)
	_, err = h.session(res.GetSessionId())
	requireCode(t, errs.Unauthenticated, err)
}

func TestGuestIsMergedAtSignIn(t *testing.T) {
	t.Parallel()
	h := setup(t)
	guest, err := h.auth.CreateGuest(h.As(identity.Anonymous()), &authv1.CreateGuestRequest{})
	require.NoError(t, err)
	require.WithinDuration(t, h.clock.Now().Add(30*24*time.Hour), guest.GetExpiresAt().AsTime(), time.Second)
	who, err := h.bearer(guest.GetToken())
	require.NoError(t, err)
	require.Equal(t, "guest", who.GetKind())
	require.True(t, strings.HasPrefix(who.GetSubjectId(), "gst_"))
	require.Empty(t, who.GetRoles())
	require.WithinDuration(t, h.clock.Now().Add(time.Minute), who.GetReusableUntil().AsTime(), time.Second)
	require.Zero(t, h.provider.keysAsked.Load(), "a guest needs no provider")

	// At sign-in the guest is merged. A failed merge or an invalid guest token does not fail the sign-in.
	signIn := func(token string) {
		begun := h.begin("/")
		code, state := h.provider.authorize(begun.GetAuthorizeUrl())
		_, err := h.complete(begun.GetLoginCookie(), code, state, token)
		require.NoError(t, err)
	}
	signIn(guest.GetToken())
	userID := h.users.ids[h.provider.URL+" sub-ann"]
	require.Equal(t, [][2]string{{who.GetSubjectId(), userID}}, h.carts.merged)
	require.Equal(t, h.carts.merged, h.orders.adopted)
	signIn("made.up.token")
	h.carts.failed = true
	signIn(guest.GetToken())
	require.Len(t, h.carts.merged, 1)
	require.Len(t, h.orders.adopted, 2, "a failure of the cart service does not keep orders from the user")
	require.Equal(t, 2, strings.Count(h.Logs(), "was not merged at sign-in"))

	// A signed-in user can repeat the merge.
	me := h.As(identity.Actor{Kind: identity.KindUser, ID: userID})
	_, err = h.auth.MergeGuest(me, &authv1.MergeGuestRequest{GuestToken: guest.GetToken()})
	requireCode(t, errs.Unavailable, err)
	h.carts.failed = false
	_, err = h.auth.MergeGuest(me, &authv1.MergeGuestRequest{GuestToken: guest.GetToken()})
	require.NoError(t, err)
	require.Len(t, h.carts.merged, 2)
	_, err = h.auth.MergeGuest(me, &authv1.MergeGuestRequest{GuestToken: "made.up.token"})
	requireCode(t, errs.Unauthenticated, err)

	h.clock.Advance(30 * 24 * time.Hour)
	_, err = h.bearer(guest.GetToken())
	requireCode(t, errs.Unauthenticated, err)
}

// TestOnlyTheGatewayMaySignIn: other callers are refused before anything happens.
func TestOnlyTheGatewayMaySignIn(t *testing.T) {
	t.Parallel()
	h := setup(t)
	sessionID := h.login()
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1", Roles: []string{"operator"}}
	_, err := h.auth.Logout(h.As(user), &authv1.LogoutRequest{SessionId: sessionID})
	requireCode(t, errs.Forbidden, err)
	_, err = h.auth.BeginLogin(h.As(user), &authv1.BeginLoginRequest{RedirectUri: redirectURI})
	requireCode(t, errs.Forbidden, err)
	_, err = h.auth.MergeGuest(h.As(identity.Anonymous()), &authv1.MergeGuestRequest{GuestToken: "x"})
	requireCode(t, errs.Unauthenticated, err)
	_, err = h.session(sessionID)
	require.NoError(t, err)
}
