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

func TestLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun := b.begin("/cart?step=2")
	code, state := b.provider.authorize(begun.GetAuthorizeUrl())
	res, err := b.complete(begun.GetLoginCookie(), code, state, "")
	require.NoError(t, err)
	require.Equal(t, "/cart?step=2", res.GetReturnTo())
	require.WithinDuration(t, b.clock.Now().Add(lifetimes.Absolute), res.GetExpiresAt().AsTime(), time.Second)

	who, err := b.session(res.GetSessionId())
	require.NoError(t, err)
	require.Equal(t, "user", who.GetKind())
	require.Equal(t, []string{"customer", "seller"}, who.GetRoles())
	require.Nil(t, who.GetReusableUntil())
	ensured := b.users.ensured()
	require.Len(t, ensured, 1)
	require.Equal(t, b.provider.URL, ensured[0].GetIssuer())
	require.Equal(t, "sub-ann", ensured[0].GetSubject())
	require.Equal(t, "ann@example.com", ensured[0].GetEmail())
	require.True(t, ensured[0].GetEmailVerified())

	// A code is good once, and nothing that was seen of one sign-in opens another session.
	_, err = b.complete(begun.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Unauthenticated, err)
	require.NotEqual(t, res.GetSessionId(), b.login(), "every sign-in has an ID of its own")
}

func TestLoginThatIsNotOurs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun, other := b.begin("/"), b.begin("/")
	code, state := b.provider.authorize(begun.GetAuthorizeUrl())
	_, otherState := b.provider.authorize(other.GetAuthorizeUrl())
	cookie := begun.GetLoginCookie()
	flipped := []byte(cookie)
	flipped[20] ^= 1
	elsewhere, err := credential.NewSealer([]byte("the key of another installation!"), b.clock)
	require.NoError(t, err)
	foreign, err := elsewhere.Seal(domain.Login{State: state, ReturnTo: "/", Expires: b.clock.Now().Add(time.Minute)})
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
		_, err := b.complete(c.cookie, code, c.state, "")
		requireCode(t, errs.Unauthenticated, err)
		require.NotContains(t, err.Error(), cookie, name)
	}
	_, err = b.complete(cookie, code, state, "") // none of that used the code up
	require.NoError(t, err)

	late := b.begin("/")
	code, state = b.provider.authorize(late.GetAuthorizeUrl())
	b.clock.Advance(10 * time.Minute)
	_, err = b.complete(late.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Unauthenticated, err)
}

func TestIDTokenIsChecked(t *testing.T) {
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
			b := setup(t)
			b.provider.idClaims = change
			begun := b.begin("/")
			code, state := b.provider.authorize(begun.GetAuthorizeUrl())
			_, err := b.complete(begun.GetLoginCookie(), code, state, "")
			requireCode(t, errs.Unauthenticated, err)
			require.Empty(t, b.users.ensured())
		})
	}
}

func TestReturnTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
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
		begun := b.begin(in)
		code, state := b.provider.authorize(begun.GetAuthorizeUrl())
		res, err := b.complete(begun.GetLoginCookie(), code, state, "")
		require.NoError(t, err)
		require.Equal(t, want, res.GetReturnTo(), "%q", in)
		require.Less(t, len(begun.GetLoginCookie()), 3800, "a cookie has at most 4096 bytes, name and attributes included")
	}
	_, err := b.auth.BeginLogin(t.Context(), &authv1.BeginLoginRequest{RedirectUri: "javascript:alert(1)"})
	requireCode(t, errs.Invalid, err)
}

func TestProviderDownAtFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provider.down.Store(true)
	_, err := b.auth.BeginLogin(t.Context(), &authv1.BeginLoginRequest{RedirectUri: redirectURI})
	requireCode(t, errs.Unavailable, err)
	require.NotZero(t, errs.From(err).RetryAfter)
	_, err = b.bearer(b.provider.sign(b.provider.rsaKey(), b.provider.claims(b.clock.Now(), nil)))
	requireCode(t, errs.Unavailable, err)
	b.provider.down.Store(false)
	b.clock.Advance(2 * time.Second)
	begun := b.begin("/")
	code, state := b.provider.authorize(begun.GetAuthorizeUrl())

	b.provider.down.Store(true) // between the two halves
	_, err = b.complete(begun.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Unavailable, err)
	b.provider.down.Store(false)
	b.clock.Advance(2 * time.Second)
	_, err = b.complete(begun.GetLoginCookie(), code, state, "")
	require.NoError(t, err)
}

func TestWrongClientSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provider.tokenAnswer = func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"not ` + clientSecret + `"}`))
		return true
	}
	begun := b.begin("/")
	code, state := b.provider.authorize(begun.GetAuthorizeUrl())
	_, err := b.complete(begun.GetLoginCookie(), code, state, "")
	requireCode(t, errs.Internal, err)
	require.Contains(t, b.logs.String(), "refuses client_id and client_secret")
	require.NotContains(t, b.logs.String(), clientSecret)
}

func TestEmailFromUserinfoAndOperator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provider.idClaims = map[string]any{"sub": "sub-zoe", "email": "", "roles": []string{"operator", "root"}}
	b.provider.userinfo = map[string]any{"sub": "sub-zoe", "email": "zoe@example.com"}
	begun := b.begin("/")
	code, state := b.provider.authorize(begun.GetAuthorizeUrl())
	res, err := b.complete(begun.GetLoginCookie(), code, state, "")
	require.NoError(t, err)
	require.Equal(t, "zoe@example.com", b.users.ensured()[0].GetEmail())
	who, err := b.session(res.GetSessionId())
	require.NoError(t, err)
	require.Equal(t, []string{"customer", "operator"}, who.GetRoles(), "root is no role of souk")

	// An operator's session is short.
	require.WithinDuration(t, b.clock.Now().Add(lifetimes.Operator), res.GetExpiresAt().AsTime(), time.Second)
	b.clock.Advance(lifetimes.Operator)
	_, err = b.session(res.GetSessionId())
	requireCode(t, errs.Unauthenticated, err)
}

func TestGuest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guest, err := b.auth.CreateGuest(b.as(identity.Anonymous()), &authv1.CreateGuestRequest{})
	require.NoError(t, err)
	require.WithinDuration(t, b.clock.Now().Add(30*24*time.Hour), guest.GetExpiresAt().AsTime(), time.Second)
	who, err := b.bearer(guest.GetToken())
	require.NoError(t, err)
	require.Equal(t, "guest", who.GetKind())
	require.True(t, strings.HasPrefix(who.GetSubjectId(), "gst_"))
	require.Empty(t, who.GetRoles())
	require.WithinDuration(t, b.clock.Now().Add(time.Minute), who.GetReusableUntil().AsTime(), time.Second)
	require.Zero(t, b.provider.keysAsked.Load(), "a guest needs no provider")

	// At sign-in the cart is merged; that it fails, or the token is wrong, keeps nobody out.
	signIn := func(token string) {
		begun := b.begin("/")
		code, state := b.provider.authorize(begun.GetAuthorizeUrl())
		_, err := b.complete(begun.GetLoginCookie(), code, state, token)
		require.NoError(t, err)
	}
	signIn(guest.GetToken())
	userID := b.users.ids[b.provider.URL+" sub-ann"]
	require.Equal(t, [][2]string{{who.GetSubjectId(), userID}}, b.carts.merged)
	require.Equal(t, b.carts.merged, b.orders.adopted)
	signIn("made.up.token")
	b.carts.failed = true
	signIn(guest.GetToken())
	require.Len(t, b.carts.merged, 1)
	require.Len(t, b.orders.adopted, 2, "that the cart is not keeps no order from its user")
	require.Equal(t, 2, strings.Count(b.logs.String(), "was not merged at sign-in"))

	// A signed-in caller merges by himself.
	me := b.as(identity.Actor{Kind: identity.KindUser, ID: userID})
	_, err = b.auth.MergeGuest(me, &authv1.MergeGuestRequest{GuestToken: guest.GetToken()})
	requireCode(t, errs.Unavailable, err)
	b.carts.failed = false
	_, err = b.auth.MergeGuest(me, &authv1.MergeGuestRequest{GuestToken: guest.GetToken()})
	require.NoError(t, err)
	require.Len(t, b.carts.merged, 2)
	_, err = b.auth.MergeGuest(me, &authv1.MergeGuestRequest{GuestToken: "made.up.token"})
	requireCode(t, errs.Unauthenticated, err)

	b.clock.Advance(30 * 24 * time.Hour)
	_, err = b.bearer(guest.GetToken())
	requireCode(t, errs.Unauthenticated, err)
}

// Only the gateway signs people in; others are refused before anything happens.
func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sessionID := b.login()
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1", Roles: []string{"operator"}}
	_, err := b.auth.Logout(b.as(user), &authv1.LogoutRequest{SessionId: sessionID})
	requireCode(t, errs.Forbidden, err)
	_, err = b.auth.BeginLogin(b.as(user), &authv1.BeginLoginRequest{RedirectUri: redirectURI})
	requireCode(t, errs.Forbidden, err)
	_, err = b.auth.MergeGuest(b.as(identity.Anonymous()), &authv1.MergeGuestRequest{GuestToken: "x"})
	requireCode(t, errs.Unauthenticated, err)
	_, err = b.session(sessionID)
	require.NoError(t, err)
}
