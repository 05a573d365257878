package auth_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
)

// subnet returns a /64 that no other test uses.
func subnet() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("2001:db8:%x:%x:", b[:2], b[2:])
}

func (h *harness) bearerFrom(token, address string) error {
	_, err := h.auth.Authenticate(h.t.Context(), &authv1.AuthenticateRequest{
		Credential: &authv1.AuthenticateRequest_Bearer{Bearer: token}, Address: address,
	})
	return err
}

func TestWrongTokensMakeTheirAddressWait(t *testing.T) {
	t.Parallel()
	h := setup(t)
	here := subnet()
	right := h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), nil))
	expired := h.provider.sign(h.provider.rsaKey(),
		h.provider.claims(h.clock.Now(), map[string]any{"exp": h.clock.Now().Add(-time.Hour).Unix()}))
	wrong := right[:len(right)-8] + "AAAAAAAA"
	for i := range 10 {
		requireCode(t, errs.Unauthenticated, h.bearerFrom(expired, here+":1"))
		requireCode(t, errs.Unauthenticated, h.bearerFrom(wrong, fmt.Sprintf("%s:%x", here, i)))
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
		err := h.bearerFrom(wrong, here+":1")
		requireCode(t, errs.LockedOut, err)
		require.Equal(t, time.Duration(seconds)*time.Second, errs.From(err).RetryAfter)
	}
	requireCode(t, errs.LockedOut, h.bearerFrom("souk_sk_guess", here+":1"))
	require.NoError(t, h.bearerFrom(right, here+":1"), "others at the address")
	requireCode(t, errs.Unauthenticated, h.bearerFrom(expired, here+":1"))
	requireCode(t, errs.Unauthenticated, h.bearerFrom(wrong, subnet()+":1"))
	for range 20 {
		requireCode(t, errs.Unauthenticated, h.bearerFrom(wrong, ""))
	}

	// Redis holds no address, and forgets.
	redis := redistest.Client(t)
	keys, err := redis.Do(t.Context(), redis.B().Keys().Pattern("auth:failed:*").Build()).AsStrSlice()
	require.NoError(t, err)
	for _, key := range keys {
		require.NotContains(t, key, strings.TrimSuffix(here, ":"))
		ttl, err := redis.Do(t.Context(), redis.B().Pttl().Key(key).Build()).AsInt64()
		require.NoError(t, err)
		require.LessOrEqual(t, ttl, time.Hour.Milliseconds())
		require.NotEqual(t, int64(-1), ttl)
	}
}

// endFrom ends a sign-in from an address.
func (h *harness) endFrom(address string, right bool) error {
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	if !right {
		code = "guess"
	}
	_, err := h.auth.CompleteLogin(h.t.Context(), &authv1.CompleteLoginRequest{
		Code: code, State: state, LoginCookie: begun.GetLoginCookie(), Address: address,
	})
	return err
}

func TestFailedSignInsMakeTheirAddressWait(t *testing.T) {
	t.Parallel()
	h := setup(t)
	here := subnet()
	for range 11 {
		err := h.endFrom(here+":1", false)
		require.Contains(t, []errs.Code{errs.Unauthenticated, errs.LockedOut}, errs.CodeOf(err))
	}
	err := h.endFrom(here+":2", true)
	requireCode(t, errs.LockedOut, err)
	require.Equal(t, time.Second, errs.From(err).RetryAfter)
	require.NoError(t, h.endFrom(subnet()+":1", true), "from elsewhere")
	right := h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), nil))
	require.NoError(t, h.bearerFrom(right, here+":1"))
	h.clock.Advance(time.Second)
	require.NoError(t, h.endFrom(here+":1", true))
	requireCode(t, errs.LockedOut, h.endFrom(here+":1", false))
}

func TestRefusedUsersWait(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.users.suspended = true
	for range 10 {
		requireCode(t, errs.AccountSuspended, h.endFrom(subnet()+":1", true))
	}
	requireCode(t, errs.LockedOut, h.endFrom(subnet()+":1", true))
	asked := len(h.users.ensured())
	requireCode(t, errs.LockedOut, h.endFrom(subnet()+":1", true))
	require.Len(t, h.users.ensured(), asked)
	h.users.suspended = false
	h.clock.Advance(time.Second)
	require.NoError(t, h.endFrom(subnet()+":1", true))
	h.users.suspended = true
	requireCode(t, errs.AccountSuspended, h.endFrom(subnet()+":1", true))
}

func TestLockoutsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"lockout": map[string]any{"after": 0}}))
	here := subnet()
	for range 20 {
		requireCode(t, errs.Unauthenticated, h.endFrom(here+":1", false))
	}
	require.NoError(t, h.endFrom(here+":1", true))
}
