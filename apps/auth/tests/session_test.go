package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
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
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

func (h *harness) logout(sessionID string, everywhere bool) error {
	res, err := h.auth.Logout(
		h.t.Context(),
		&authv1.LogoutRequest{SessionId: sessionID, Everywhere: everywhere, PostLogoutRedirectUri: "http://souk.test/"},
	)
	if err == nil {
		require.Equal(h.t,
			h.provider.URL+"/end?client_id="+clientID+"&post_logout_redirect_uri=http%3A%2F%2Fsouk.test%2F",
			res.GetEndSessionUrl())
	}
	return err
}

func TestSessionEndsIdleOrAtItsAbsoluteEnd(t *testing.T) {
	t.Parallel()
	h := setup(t)
	idle, used := h.login(), h.login()
	until := h.clock.Now().Add(lifetimes.Absolute)
	for step := 6 * 24 * time.Hour; h.clock.Now().Add(step).Before(until); {
		h.clock.Advance(step)
		_, err := h.session(used)
		require.NoError(t, err)
	}
	_, err := h.session(idle)
	requireCode(t, errs.Unauthenticated, err) // unused for a week
	h.clock.Advance(until.Sub(h.clock.Now()) - time.Second)
	_, err = h.session(used)
	require.NoError(t, err)
	h.clock.Advance(time.Second)
	_, err = h.session(used)
	requireCode(t, errs.Unauthenticated, err) // in spite of its use
}

func TestUnusedSessionEnds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	sessionID := h.login()
	h.clock.Advance(lifetimes.Idle - time.Second)
	_, err := h.session(sessionID)
	require.NoError(t, err)
	h.clock.Advance(lifetimes.Idle - time.Second)
	_, err = h.session(sessionID)
	require.NoError(t, err)
	h.clock.Advance(lifetimes.Idle)
	_, err = h.session(sessionID)
	requireCode(t, errs.Unauthenticated, err)
}

// TestSessionUseIsWrittenOncePerMinute also checks that reads of a session in use need no round trip.
func TestSessionUseIsWrittenOncePerMinute(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := domain.NewSession("usr_1", nil, now, lifetimes)
	require.False(t, s.Touch(now.Add(59*time.Second)))
	require.True(t, s.Touch(now.Add(time.Minute)))
	require.False(t, s.Touch(now.Add(time.Minute)))

	h := setup(t)
	sessionID := h.login()
	digest, err := credential.SessionDigest(sessionID)
	require.NoError(t, err)
	redis := redistest.Client(t)
	read := func() string {
		v, err := redis.Do(ctx, redis.B().Get().Key("auth:session:"+digest).Build()).ToString()
		require.NoError(t, err)
		return v
	}
	before := read()
	for range 5 {
		h.clock.Advance(10 * time.Second)
		_, err := h.session(sessionID)
		require.NoError(t, err)
	}
	require.Equal(t, before, read())
	h.clock.Advance(10 * time.Second)
	_, err = h.session(sessionID)
	require.NoError(t, err)
	require.NotEqual(t, before, read())
	ttl, err := redis.Do(ctx, redis.B().Pttl().Key("auth:session:"+digest).Build()).AsInt64()
	require.NoError(t, err)
	require.InDelta(t, lifetimes.Idle.Milliseconds(), ttl, 60_000)
}

func TestLogoutEndsSessionsEverywhere(t *testing.T) {
	t.Parallel()
	h := setup(t)
	other := h.second()
	a, c, d := h.login(), h.login(), h.login()
	for _, id := range []string{a, c, d} {
		for range 2 { // the second read is served by the client-side cache
			_, err := other.session(id)
			require.NoError(t, err)
			_, err = h.session(id)
			require.NoError(t, err)
		}
	}
	ended := func(id string) {
		t.Helper()
		_, err := h.session(id)
		requireCode(t, errs.Unauthenticated, err) // at once in the process of the logout
		waittest.Until(t, func() bool {           // and elsewhere after Redis's invalidation
			_, err := other.session(id)
			return errs.Is(err, errs.Unauthenticated)
		}, "the session has not ended elsewhere")
	}
	require.NoError(t, h.logout(a, false))
	ended(a)
	_, err := h.session(c)
	require.NoError(t, err)
	require.NoError(t, h.logout(a, false), "logging out twice is no error")
	requireCode(t, errs.Unauthenticated, h.logout(a, true))

	require.NoError(t, h.logout(c, true))
	ended(c)
	ended(d)
	next := h.login()
	_, err = h.session(next)
	require.NoError(t, err)
}

// TestLogoutEndsSessionWithoutProvider: the provider is asked for its URL after the session has ended.
func TestLogoutEndsSessionWithoutProvider(t *testing.T) {
	t.Parallel()
	const home = "http://souk.test/"
	h := setup(t)
	a, c, d := h.login(), h.login(), h.login()
	restarted := h.second() // has not discovered the provider yet
	logout := func(h *harness, sessionID string, everywhere bool, home string) (where string) {
		t.Helper()
		res, err := h.auth.Logout(t.Context(), &authv1.LogoutRequest{
			SessionId: sessionID, Everywhere: everywhere, PostLogoutRedirectUri: home,
		})
		require.NoError(t, err)
		_, err = h.session(sessionID)
		requireCode(t, errs.Unauthenticated, err)
		return res.GetEndSessionUrl()
	}
	h.provider.down.Store(true)
	require.Empty(t, logout(restarted, a, false, home))
	h.provider.down.Store(false)
	h.clock.Advance(2 * time.Second)
	require.Equal(t, h.provider.URL+"/end?client_id="+clientID+"&post_logout_redirect_uri=http%3A%2F%2Fsouk.test%2F",
		logout(restarted, c, false, home))
	require.Equal(t, h.provider.URL+"/end?client_id="+clientID, logout(restarted, d, true, ""))
	for _, id := range []string{a, c, d} {
		_, err := h.session(id)
		requireCode(t, errs.Unauthenticated, err)
	}

	h = setup(t)
	h.provider.noEndSession.Store(true)
	require.Empty(t, logout(h, h.login(), false, home))
}

// TestTouchDoesNotRestoreEndedSession covers a request that is in flight during a logout.
func TestTouchDoesNotRestoreEndedSession(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := clock.NewManual(time.Now().UTC().Truncate(time.Millisecond))
	sessions := repository.New(redistest.Client(t), c, lifetimes, 100)
	s := domain.NewSession("usr_"+credential.Random(8), []string{"customer"}, c.Now(), lifetimes)
	digest, err := credential.SessionDigest(credential.NewSessionID())
	require.NoError(t, err)
	require.NoError(t, sessions.Create(ctx, digest, s))
	got, err := sessions.Get(ctx, digest)
	require.NoError(t, err)
	require.Equal(t, s, got)
	require.NoError(t, sessions.DeleteAll(ctx, s.UserID))
	require.NoError(t, sessions.Touch(ctx, digest, s))
	_, err = sessions.Get(ctx, digest)
	requireCode(t, errs.NotFound, err)
}

// TestSessionsOfOneUserAreLimited, so that one user cannot fill Redis.
func TestSessionsOfOneUserAreLimited(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := clock.NewManual(time.Now().UTC().Truncate(time.Millisecond))
	sessions := repository.New(redistest.Client(t), c, lifetimes, 100)
	user := "usr_" + credential.Random(8)
	var digests []string
	for range 103 {
		digest, err := credential.SessionDigest(credential.NewSessionID())
		require.NoError(t, err)
		digests = append(digests, digest)
		require.NoError(t, sessions.Create(ctx, digest, domain.NewSession(user, nil, c.Now(), lifetimes)))
		c.Advance(time.Second)
	}
	for i, d := range digests {
		_, err := sessions.Get(ctx, d)
		require.Equal(t, i < 3, errs.Is(err, errs.NotFound), "session %d: %v", i, err)
	}
	require.NoError(t, sessions.DeleteAll(ctx, user))
}

// A process may die between two commands. Each session that was created is ended by signing out everywhere.
func TestProcessThatDiesLeavesNoSessionThatCannotBeEnded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := clock.NewManual(time.Now().UTC().Truncate(time.Millisecond))
	client := redistest.Client(t)
	sessions := repository.New(client, c, lifetimes, 100)
	create := func(sessions *repository.Sessions, user string) (string, error) {
		digest, err := credential.SessionDigest(credential.NewSessionID())
		require.NoError(t, err)
		return digest, sessions.Create(ctx, digest, domain.NewSession(user, nil, c.Now(), lifetimes))
	}
	for n, died := 1, true; died; n++ {
		died = false
		for _, lost := range []bool{false, true} {
			for what, had := range map[string]int{"create": 100, "delete all": 3} {
				user := "usr_" + credential.Random(8)
				var digests []string
				for range had {
					digest, err := create(sessions, user)
					require.NoError(t, err)
					digests = append(digests, digest)
				}
				mortal := redistest.NewMortal(client, n, lost)
				other := repository.New(mortal, c, lifetimes, 100)
				if what == "create" {
					if digest, err := create(other, user); err == nil {
						digests = append(digests, digest)
					}
				} else {
					err := other.DeleteAll(ctx, user)
					require.Equal(t, mortal.Died(), err != nil)
				}
				require.NoError(t, sessions.DeleteAll(ctx, user))
				for _, d := range digests {
					_, err := sessions.Get(ctx, d)
					require.True(t, errs.Is(err, errs.NotFound), "%s dies at command %d: %v", what, n, err)
				}
				died = died || mortal.Died()
			}
		}
	}
}

// TestContentOfRedisOpensNoSession tries what a reader of Redis sees as credentials.
func TestContentOfRedisOpensNoSession(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	h := setup(t)
	sessionID := h.login()
	digest, err := credential.SessionDigest(sessionID)
	require.NoError(t, err)
	redis := redistest.Client(t)
	value, err := redis.Do(ctx, redis.B().Get().Key("auth:session:"+digest).Build()).AsBytes()
	require.NoError(t, err)
	require.False(t, bytes.Contains(value, []byte(sessionID)))
	for _, made := range []string{digest, digest[:43], "", "auth:session:" + digest, "\u00e9"} {
		_, err := h.bearer(made + ".")
		requireCode(t, errs.Unauthenticated, err)
		if made == "" {
			continue
		}
		_, err = h.session(made)
		requireCode(t, errs.Unauthenticated, err)
	}
}

func TestRedisOutageIsUnavailable(t *testing.T) {
	t.Parallel()
	private := redistest.Private(t)
	h := setup(t, moduletest.Redis(private.Config()))
	require.NoError(t, private.Stop(t.Context()))
	_, err := h.session(credential.NewSessionID())
	requireCode(t, errs.Unavailable, err)
	require.NotZero(t, errs.From(err).RetryAfter)
}

// TestSecretsStayOutOfLogs signs in, out and wrong in many ways, at debug level.
func TestSecretsStayOutOfLogs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	begun := h.begin("/")
	code, state := h.provider.authorize(begun.GetAuthorizeUrl())
	guest, err := h.auth.CreateGuest(t.Context(), &authv1.CreateGuestRequest{})
	require.NoError(t, err)
	h.carts.failed = true
	res, err := h.complete(begun.GetLoginCookie(), code, state, guest.GetToken())
	require.NoError(t, err)
	_, err = h.complete(begun.GetLoginCookie(), code, state, guest.GetToken())
	require.Error(t, err)
	token := h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), map[string]any{"aud": "foreign"}))
	_, err = h.bearer(token)
	require.Error(t, err)
	_, err = h.session(res.GetSessionId()[:42] + "!")
	require.Error(t, err)
	h.provider.down.Store(true)
	h.clock.Advance(time.Hour)
	_, err = h.bearer(h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), nil)))
	require.NoError(t, err, "known keys remain valid while the provider is down")
	require.NoError(t, h.logout(res.GetSessionId(), true))

	h.Stop()
	log := h.Logs()
	require.NotEmpty(t, log)
	for _, s := range []string{
		res.GetSessionId(), begun.GetLoginCookie(), code, state, guest.GetToken(), token, clientSecret, string(secret),
		"ann@example.com", "Ann",
	} {
		require.NotContains(t, log, s)
	}
	for _, line := range bytes.Split(bytes.TrimSpace([]byte(log)), []byte("\n")) {
		require.True(t, json.Valid(line))
	}
}

// TestConcurrentCallsShareOneFetchOfKeys runs many calls at once, also for the race detector.
func TestConcurrentCallsShareOneFetchOfKeys(t *testing.T) {
	t.Parallel()
	h := setup(t)
	sessionID := h.login()
	h.clock.Advance(2 * time.Minute)
	token := h.provider.sign(h.provider.rsaKey(), h.provider.claims(h.clock.Now(), map[string]any{"sub": "sub-bob"}))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := h.auth.Authenticate(context.Background(),
				&authv1.AuthenticateRequest{Credential: &authv1.AuthenticateRequest_SessionId{SessionId: sessionID}})
			if err != nil {
				t.Error(err)
			}
			if _, err = h.bearer(token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, h.provider.keysAsked.Load(), int32(2), "all wait for one fetch of the keys")
}
