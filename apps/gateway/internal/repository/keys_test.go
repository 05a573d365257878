package repository

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/gateway/internal/middleware"
	"souk/pkg/cache"
	"souk/pkg/errs"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const lease = 10 * time.Second

// head is an answer without a body.
func head(text string) middleware.Sealed { return middleware.Sealed{Head: []byte(text)} }

func TestKeyIsClaimedKeptAndReplayed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k := NewKeys(redistest.Client(t))
	key := rand.Text()
	c, err := k.Claim(ctx, key, "hash", "a", lease)
	require.NoError(t, err)
	require.True(t, c.Owned)
	c, err = k.Claim(ctx, key, "other", "b", lease)
	require.NoError(t, err)
	require.Equal(t, middleware.Claim{BodyHash: "hash"}, c, "in flight")

	answer := middleware.Sealed{Head: []byte("\x00\n"), Body: []byte("\xff\n\n\"\n")} // any bytes
	require.NoError(t, k.Keep(ctx, key, "b", "other", head("500"), time.Minute), "not the owner: no effect")
	require.NoError(t, k.Release(ctx, key, "b"))
	require.NoError(t, k.Keep(ctx, key, "a", "hash", answer, time.Minute))
	for range 2 {
		c, err = k.Claim(ctx, key, "hash", "c", lease)
		require.NoError(t, err)
		require.Equal(t, middleware.Claim{BodyHash: "hash", Answer: answer}, c)
	}
	require.NoError(t, k.Release(ctx, key, "a"))
	require.NoError(t, k.Renew(ctx, key, "a", time.Millisecond))
	require.NoError(t, k.Keep(ctx, key, "a", "hash", head("500"), time.Minute))
	c, err = k.Claim(ctx, key, "hash", "c", lease)
	require.NoError(t, err)
	require.Equal(t, answer, c.Answer, "an answer is never changed")
}

func TestReleasedKeyIsFree(t *testing.T) {
	t.Parallel()
	k := NewKeys(redistest.Client(t))
	key := rand.Text()
	for _, owner := range []string{"a", "b"} {
		c, err := k.Claim(t.Context(), key, "hash", owner, lease)
		require.NoError(t, err)
		require.True(t, c.Owned)
		require.NoError(t, k.Release(t.Context(), key, owner))
	}
}

func TestLeaseExpiresUnlessRenewedByItsOwner(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k := NewKeys(redistest.Client(t))
	claim := func(key, owner string, lease time.Duration) bool {
		c, err := k.Claim(ctx, key, "hash", owner, lease)
		require.NoError(t, err)
		return c.Owned
	}
	dead, alive := rand.Text(), rand.Text()
	require.True(t, claim(dead, "a", 300*time.Millisecond))
	require.True(t, claim(alive, "a", 300*time.Millisecond))
	require.NoError(t, k.Renew(ctx, alive, "a", lease))
	require.NoError(t, k.Renew(ctx, dead, "b", lease), "not the owner: no error, no effect")
	require.Eventually(t, func() bool { return claim(dead, "b", lease) }, lease, 10*time.Millisecond)
	require.False(t, claim(alive, "b", lease))
	require.NoError(t, k.Keep(ctx, dead, "a", "hash", head("201"), time.Minute), "too late: it has another owner now")
	c, err := k.Claim(ctx, dead, "hash", "c", lease)
	require.NoError(t, err)
	require.Empty(t, c.Answer)
}

func TestAnswersAreKeptForTheirTime(t *testing.T) {
	t.Parallel()
	k := NewKeys(redistest.Client(t))
	key := rand.Text()
	_, err := k.Claim(t.Context(), key, "hash", "a", lease)
	require.NoError(t, err)
	require.NoError(t, k.Keep(t.Context(), key, "a", "hash", head("200"), 200*time.Millisecond))
	require.Eventually(t, func() bool {
		c, err := k.Claim(t.Context(), key, "hash", "b", lease)
		return err == nil && c.Owned
	}, lease, 10*time.Millisecond)
}

func TestOneOfHundredConcurrentClaimsOwnsTheKey(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	key := rand.Text()
	var owners atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			c, err := NewKeys(client).Claim(t.Context(), key, "hash", rand.Text(), lease)
			if err == nil && c.Owned {
				owners.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, owners.Load())
}

func TestAllowanceBoundsWhatIsKeptForACaller(t *testing.T) {
	t.Parallel()
	r, err := NewRetention(redistest.Client(t), "test"+rand.Text(), 10<<10, time.Hour)
	require.NoError(t, err)
	require.Equal(t, time.Hour, r.TTL)
	take := func(who string, bytes int) bool {
		ok, err := r.Whole.Take(t.Context(), who, bytes)
		require.NoError(t, err)
		return ok
	}
	require.False(t, take("a", 11<<10))
	require.True(t, take("a", 5<<10))
	require.False(t, take("a", 5<<10), "with what Redis needs beside it")
	require.True(t, take("a", 1<<10))
	require.True(t, take("b", 5<<10))

	r, err = NewRetention(nil, "x", 0, time.Hour)
	require.NoError(t, err)
	require.True(t, take("a", 1<<30), "no bound")
}

func TestRedisOutageIsUnavailable(t *testing.T) {
	t.Parallel()
	server := redistest.Private(t)
	client, err := redisx.Open(t.Context(), server.Config()) // a client with timeouts, as in production
	require.NoError(t, err)
	t.Cleanup(client.Close)
	limiter, err := NewLimiter(client, "x", 10, 10)
	require.NoError(t, err)
	require.NoError(t, Ping(t.Context(), client))
	require.NoError(t, server.Stop(t.Context()))
	k := NewKeys(client)
	_, err = k.Claim(t.Context(), "k", "hash", "a", lease)
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	require.Equal(t, errs.Unavailable, errs.CodeOf(k.Renew(t.Context(), "k", "a", lease)))
	require.Equal(t, errs.Unavailable, errs.CodeOf(k.Release(t.Context(), "k", "a")))
	_, err = NewTags(client).Watch("catalog")(t.Context())
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	_, _, err = limiter.Allow(t.Context(), "k", 1)
	require.Error(t, err)
	require.Error(t, Ping(t.Context(), client))
}

func TestLimiterCountsAcrossGateways(t *testing.T) {
	t.Parallel()
	prefix := "test" + rand.Text()
	one, err := NewLimiter(redistest.Client(t), prefix, 1, 3)
	require.NoError(t, err)
	two, err := NewLimiter(redistest.Client(t), prefix, 1, 3)
	require.NoError(t, err)
	allowed := 0
	var wait time.Duration
	for i := range 8 {
		ok, after, err := []*Limiter{one, two}[i%2].Allow(t.Context(), "k", 1)
		require.NoError(t, err)
		if ok {
			allowed++
		} else {
			wait = after
		}
	}
	require.InDelta(t, 3, allowed, 1) // on a slow machine one more is allowed meanwhile
	require.Positive(t, wait)
	ok, _, err := one.Allow(t.Context(), "other", 1)
	require.NoError(t, err)
	require.True(t, ok)
	none, err := NewLimiter(nil, prefix, 0, 0)
	require.NoError(t, err)
	ok, _, err = none.Allow(t.Context(), "k", 1)
	require.NoError(t, err)
	require.True(t, ok, "no rate, no limit")
}

func TestTagsFollowBumpsOfOtherProcesses(t *testing.T) {
	t.Parallel()
	here, there := redistest.Client(t), redistest.Client(t)
	id := rand.Text()
	version := NewTags(here).Watch("product:" + id)
	v, err := version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "0", v)
	require.NoError(t, cache.Bump(t.Context(), there, cache.Tag("product", id)))
	require.Eventually(t, func() bool {
		v, err := version(t.Context())
		return err == nil && v == "1"
	}, lease, time.Millisecond)
}
