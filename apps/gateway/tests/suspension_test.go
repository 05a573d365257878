package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// refuse makes the auth service refuse all users with err; nil: none.
func (g *gateway) refuse(err error) {
	g.auth.mu.Lock()
	defer g.auth.mu.Unlock()
	g.auth.refused = err
}

func TestSuspendedUsersAreRefusedWithinASecond(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	g := setup(t, moduletest.Clock(c))
	send := func() answer { return g.send(http.MethodGet, "/v1/products", "", "Authorization", asUser) }
	require.Equal(t, http.StatusOK, send().StatusCode)
	g.refuse(errs.New(errs.AccountSuspended, "this account is suspended"))
	c.Advance(800 * time.Millisecond)
	send().problem(t, http.StatusForbidden, errs.AccountSuspended)
	g.send(http.MethodGet, "/v1/products", "", "Cookie", "souk_session=live").
		problem(t, http.StatusForbidden, errs.AccountSuspended)
	require.Equal(t, http.StatusOK,
		g.send(http.MethodGet, "/v1/products", "", "Authorization", asGuest).StatusCode, "others are not")
	// Nothing of the old answer is used while the auth service is away.
	g.refuse(errs.New(errs.Unavailable, "away"))
	send().problem(t, http.StatusServiceUnavailable, errs.Unavailable)
}

func TestKnownUsersAreServedWhileAuthIsAway(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	g := setup(t, moduletest.Clock(c))
	send := func(as string) int {
		return g.send(http.MethodGet, "/v1/products", "", "Authorization", as).StatusCode
	}
	require.Equal(t, http.StatusOK, send(asUser))
	g.refuse(errs.New(errs.Unavailable, "away"))
	c.Advance(59 * time.Second)
	require.Equal(t, http.StatusOK, send(asUser))
	require.Equal(t, http.StatusServiceUnavailable, send("Bearer user-usr_2"))
	c.Advance(time.Second)
	require.Equal(t, http.StatusServiceUnavailable, send(asUser))
}

func TestStreamEndsWithTheSession(t *testing.T) {
	t.Parallel()
	in := &inboxes{}
	g := setup(t, in.option())
	s := g.stream("", "Cookie", "souk_session=live")
	require.Equal(t, http.StatusOK, s.StatusCode)
	g.refuse(errs.New(errs.Unauthenticated, "signed out"))
	waittest.Until(t, func() bool {
		select {
		case _, open := <-s.lines:
			return !open
		default:
			return false
		}
	}, "the stream is still open")
}

func TestLockoutsSayHowLongToWait(t *testing.T) {
	t.Parallel()
	g := setup(t, config("trusted_proxies", []string{"127.0.0.1/32"}))
	g.refuse(errs.New(errs.LockedOut, "wait").WithRetryAfter(3500 * time.Millisecond))
	res := g.send(http.MethodGet, "/v1/products", "", "Authorization", asUser, "X-Forwarded-For", "203.0.113.7")
	res.problem(t, http.StatusTooManyRequests, errs.LockedOut)
	require.Equal(t, "4", res.Header.Get("Retry-After"))
	require.Equal(t, "203.0.113.7", g.auth.address)
}
