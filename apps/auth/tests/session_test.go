package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	oidcprovider "souk/apps/auth/internal/provider"
	"souk/apps/auth/internal/repository"
	"souk/apps/auth/internal/service"
	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
)

// second returns the same service in another process: another connection to the same Redis.
func (b *bundle) second() *service.Service {
	return b.service(oidcprovider.Options{Issuer: b.provider.URL, ClientID: clientID, Audience: audience}, redistest.Client(b.t), zap.NewNop())
}

func (b *bundle) logout(sessionID string, everywhere bool) error {
	res, err := b.auth.Logout(b.t.Context(), &authv1.LogoutRequest{SessionId: sessionID, Everywhere: everywhere, PostLogoutRedirectUri: "http://souk.test/"})
	if err == nil {
		require.Equal(b.t, b.provider.URL+"/end?client_id="+clientID+"&post_logout_redirect_uri=http%3A%2F%2Fsouk.test%2F", res.GetEndSessionUrl())
	}
	return err
}

func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	idle, used := b.login(), b.login()
	until := b.clock.Now().Add(lifetimes.Absolute)
	for step := 6 * 24 * time.Hour; b.clock.Now().Add(step).Before(until); {
		b.clock.Advance(step)
		_, err := b.session(used)
		require.NoError(t, err)
	}
	_, err := b.session(idle)
	requireCode(t, errs.Unauthenticated, err) // nobody used it for a week
	b.clock.Advance(until.Sub(b.clock.Now()) - time.Second)
	_, err = b.session(used)
	require.NoError(t, err)
	b.clock.Advance(time.Second)
	_, err = b.session(used)
	requireCode(t, errs.Unauthenticated, err) // however much it was used
}

func TestIdleExpiry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sessionID := b.login()
	b.clock.Advance(lifetimes.Idle - time.Second)
	_, err := b.session(sessionID)
	require.NoError(t, err)
	b.clock.Advance(lifetimes.Idle - time.Second)
	_, err = b.session(sessionID)
	require.NoError(t, err)
	b.clock.Advance(lifetimes.Idle)
	_, err = b.session(sessionID)
	requireCode(t, errs.Unauthenticated, err)
}

// TestTouchSparsely: a session in use is written at most once a minute, and is read without a round trip.
func TestTouchSparsely(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := domain.NewSession("usr_1", nil, now, lifetimes)
	require.False(t, s.Touch(now.Add(59*time.Second)))
	require.True(t, s.Touch(now.Add(time.Minute)))
	require.False(t, s.Touch(now.Add(time.Minute)))

	b := setup(t)
	sessionID := b.login()
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
		b.clock.Advance(10 * time.Second)
		_, err := b.session(sessionID)
		require.NoError(t, err)
	}
	require.Equal(t, before, read())
	b.clock.Advance(10 * time.Second)
	_, err = b.session(sessionID)
	require.NoError(t, err)
	require.NotEqual(t, before, read())
	ttl, err := redis.Do(ctx, redis.B().Pttl().Key("auth:session:"+digest).Build()).AsInt64()
	require.NoError(t, err)
	require.InDelta(t, lifetimes.Idle.Milliseconds(), ttl, 60_000)
}

func TestLogout(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t)
	other := b.second()
	a, c, d := b.login(), b.login(), b.login()
	for _, id := range []string{a, c, d} {
		for range 2 { // the second time it comes from the client-side cache
			_, err := other.Session(ctx, id)
			require.NoError(t, err)
			_, err = b.session(id)
			require.NoError(t, err)
		}
	}
	ended := func(id string) {
		t.Helper()
		_, err := b.session(id)
		requireCode(t, errs.Unauthenticated, err) // at once where the logout was
		require.Eventually(t, func() bool {       // and as soon as Redis's notice is there elsewhere
			_, err := other.Session(ctx, id)
			return errs.Is(err, errs.Unauthenticated)
		}, 5*time.Second, time.Millisecond)
	}
	require.NoError(t, b.logout(a, false))
	ended(a)
	_, err := b.session(c)
	require.NoError(t, err)
	require.NoError(t, b.logout(a, false), "logging out twice is no error")
	requireCode(t, errs.Unauthenticated, b.logout(a, true))

	require.NoError(t, b.logout(c, true))
	ended(c)
	ended(d)
	next := b.login()
	_, err = b.session(next)
	require.NoError(t, err)
}

// TestLogoutEndsOurSessionWhateverTheProviderSays: where the browser goes on to is asked for after it has ended.
func TestLogoutEndsOurSessionWhateverTheProviderSays(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const home = "http://souk.test/"
	ended := func(b *bundle, sessionID string) {
		t.Helper()
		_, err := b.session(sessionID)
		requireCode(t, errs.Unauthenticated, err)
	}

	b := setup(t)
	a, c, d := b.login(), b.login(), b.login()
	restarted := b.second() // has not asked the provider for anything yet
	b.provider.down.Store(true)
	where, err := restarted.Logout(ctx, a, false, home)
	require.NoError(t, err)
	require.Empty(t, where)
	ended(b, a)
	b.provider.down.Store(false)
	b.clock.Advance(2 * time.Second)
	where, err = restarted.Logout(ctx, c, false, home)
	require.NoError(t, err)
	require.Equal(t, b.provider.URL+"/end?client_id="+clientID+"&post_logout_redirect_uri=http%3A%2F%2Fsouk.test%2F", where)
	ended(b, c)
	where, err = restarted.Logout(ctx, d, true, "")
	require.NoError(t, err)
	require.Equal(t, b.provider.URL+"/end?client_id="+clientID, where)
	ended(b, d)

	without := newProvider(t)
	without.noEndSession.Store(true)
	b = setupWith(t, without, oidcprovider.Options{Issuer: without.URL, ClientID: clientID, ClientSecret: clientSecret, Audience: audience})
	sessionID := b.login()
	res, err := b.auth.Logout(ctx, &authv1.LogoutRequest{SessionId: sessionID, PostLogoutRedirectUri: home})
	require.NoError(t, err)
	require.Empty(t, res.GetEndSessionUrl())
	ended(b, sessionID)
}

// TestTouchAfterLogout: a request that was under way does not bring a session back that a logout ended.
func TestTouchAfterLogout(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t)
	sessions := repository.NewSessions(redistest.Client(t), b.clock, lifetimes)
	s := domain.NewSession("usr_"+credential.Random(8), []string{"customer"}, b.clock.Now(), lifetimes)
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

// TestManySessions: one user cannot fill Redis.
func TestManySessions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t)
	sessions := repository.NewSessions(redistest.Client(t), b.clock, lifetimes)
	user := "usr_" + credential.Random(8)
	var digests []string
	for range 103 {
		digest, err := credential.SessionDigest(credential.NewSessionID())
		require.NoError(t, err)
		digests = append(digests, digest)
		require.NoError(t, sessions.Create(ctx, digest, domain.NewSession(user, nil, b.clock.Now(), lifetimes)))
		b.clock.Advance(time.Second)
	}
	for i, d := range digests {
		_, err := sessions.Get(ctx, d)
		require.Equal(t, i < 3, errs.Is(err, errs.NotFound), "session %d: %v", i, err)
	}
	require.NoError(t, sessions.DeleteAll(ctx, user))
}

// TestRedisLeak: what Redis holds opens no session.
func TestRedisLeak(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t)
	sessionID := b.login()
	digest, err := credential.SessionDigest(sessionID)
	require.NoError(t, err)
	redis := redistest.Client(t)
	value, err := redis.Do(ctx, redis.B().Get().Key("auth:session:"+digest).Build()).AsBytes()
	require.NoError(t, err)
	require.False(t, bytes.Contains(value, []byte(sessionID)))
	for _, made := range []string{digest, digest[:43], "", "auth:session:" + digest, "\u00e9"} {
		_, err := b.bearer(made + ".")
		requireCode(t, errs.Unauthenticated, err)
		if made == "" {
			continue
		}
		_, err = b.session(made)
		requireCode(t, errs.Unauthenticated, err)
	}
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t)
	private := redistest.Private(t)
	redis, err := redisx.Open(ctx, redisx.Config{Addr: private.Addr()})
	require.NoError(t, err)
	t.Cleanup(redis.Close)
	svc := b.service(oidcprovider.Options{Issuer: b.provider.URL, ClientID: clientID, Audience: audience}, redis, zap.NewNop())
	require.NoError(t, private.Stop(ctx))
	_, err = svc.Session(ctx, credential.NewSessionID())
	requireCode(t, errs.Unavailable, err)
	require.NotZero(t, errs.From(err).RetryAfter)
}

// TestSecretsStayOutOfLogs signs in, out and wrong in many ways, at debug level.
func TestSecretsStayOutOfLogs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun := b.begin("/")
	code, state := b.provider.authorize(begun.GetAuthorizeUrl())
	guest, err := b.auth.CreateGuest(t.Context(), &authv1.CreateGuestRequest{})
	require.NoError(t, err)
	b.carts.failed = true
	res, err := b.complete(begun.GetLoginCookie(), code, state, guest.GetToken())
	require.NoError(t, err)
	_, err = b.complete(begun.GetLoginCookie(), code, state, guest.GetToken())
	require.Error(t, err)
	token := b.provider.sign(b.provider.rsaKey(), b.provider.claims(b.clock.Now(), map[string]any{"aud": "foreign"}))
	_, err = b.bearer(token)
	require.Error(t, err)
	_, err = b.session(res.GetSessionId()[:42] + "!")
	require.Error(t, err)
	b.provider.down.Store(true)
	b.clock.Advance(time.Hour)
	_, err = b.bearer(b.provider.sign(b.provider.rsaKey(), b.provider.claims(b.clock.Now(), nil)))
	require.NoError(t, err, "known keys count while the provider is away")
	require.NoError(t, b.logout(res.GetSessionId(), true))

	log := b.logs.String()
	require.NotEmpty(t, log)
	for _, s := range []string{
		res.GetSessionId(), begun.GetLoginCookie(), code, state, guest.GetToken(), token, clientSecret, string(secret), "ann@example.com", "Ann",
	} {
		require.NotContains(t, log, s)
	}
	for _, line := range bytes.Split(bytes.TrimSpace([]byte(log)), []byte("\n")) {
		require.True(t, json.Valid(line))
	}
}

// TestConcurrentSessions is for the race detector.
func TestConcurrentSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sessionID := b.login()
	b.clock.Advance(2 * time.Minute)
	token := b.provider.sign(b.provider.rsaKey(), b.provider.claims(b.clock.Now(), map[string]any{"sub": "sub-bob"}))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := b.auth.Authenticate(context.Background(), &authv1.AuthenticateRequest{Credential: &authv1.AuthenticateRequest_SessionId{SessionId: sessionID}})
			if err != nil {
				t.Error(err)
			}
			if _, err = b.bearer(token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, b.provider.keysAsked.Load(), int32(2), "all wait for one look at the keys")
}
