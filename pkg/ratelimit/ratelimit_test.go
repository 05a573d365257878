package ratelimit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/ratelimit"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func limiter(t testing.TB, client rueidis.Client, o ratelimit.Options) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(client, o)
	require.NoError(t, err)
	return l
}

func prefix() string { return fmt.Sprintf("t%x", rand.Uint64()) }

// TestConcurrentRequestsAreLimitedExactly makes 1000 requests through two clients. Exactly the burst is allowed.
func TestConcurrentRequestsAreLimitedExactly(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := ratelimit.Options{Prefix: prefix(), Rate: 0.001, Burst: 37}
	limiters := []*ratelimit.Limiter{limiter(t, redistest.Client(t), o), limiter(t, redistest.Client(t), o)}
	var allowed, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			d, err := limiters[i%2].Allow(ctx, "usr_1")
			switch {
			case err != nil:
				t.Error(err)
			case d.Allowed:
				allowed.Add(1)
			default:
				refused.Add(1)
				if d.RetryAfter <= 0 || d.Remaining != 0 {
					t.Errorf("%+v", d)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, int32(37), allowed.Load())
	require.Equal(t, int32(963), refused.Load())
	d, err := limiters[0].Allow(ctx, "usr_2")
	require.NoError(t, err)
	require.True(t, d.Allowed)
	require.Equal(t, 36, d.Remaining)
}

func TestBurstIsRegained(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := limiter(t, redistest.Client(t), ratelimit.Options{Prefix: prefix(), Rate: 20, Burst: 2})
	for want := 1; want >= 0; want-- {
		d, err := l.Allow(ctx, "k")
		require.NoError(t, err)
		require.True(t, d.Allowed)
		require.Equal(t, want, d.Remaining)
		require.NoError(t, d.Err())
	}
	d, err := l.Allow(ctx, "k")
	require.NoError(t, err)
	require.False(t, d.Allowed)
	require.LessOrEqual(t, d.RetryAfter, 50*time.Millisecond)
	require.LessOrEqual(t, d.Reset, 100*time.Millisecond)
	require.True(t, errs.Is(d.Err(), errs.RateLimited))
	require.Equal(t, d.RetryAfter, errs.From(d.Err()).RetryAfter)
	<-time.After(d.RetryAfter) // at most 50 ms
	d, err = l.Allow(ctx, "k")
	require.NoError(t, err)
	require.True(t, d.Allowed)
}

func TestAllowNCountsAllOrNone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := limiter(t, redistest.Client(t), ratelimit.Options{Prefix: prefix(), Rate: 0.01, Burst: 10})
	for _, step := range []struct {
		n         int
		allowed   bool
		remaining int
	}{{4, true, 6}, {7, false, 6}, {6, true, 0}, {1, false, 0}, {0, true, 0}, {11, false, 0}} {
		d, err := l.AllowN(ctx, "k", step.n)
		require.NoError(t, err)
		require.Equal(t, step.allowed, d.Allowed, "%+v %+v", step, d)
		require.Equal(t, step.remaining, d.Remaining, "%+v %+v", step, d)
	}
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	ctx, client := context.Background(), redistest.Client(t)
	p := prefix()
	l := limiter(t, client, ratelimit.Options{Prefix: p, Rate: 100, Burst: 5})
	_, err := l.Allow(ctx, "k")
	require.NoError(t, err)
	waittest.Until(t, func() bool {
		n, err := client.Do(ctx, client.B().Exists().Key("ratelimit:"+p+":k").Build()).AsInt64()
		return err == nil && n == 0
	}, "the key does not expire")
}

func TestUnavailableWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Private(t)
	l := limiter(t, redistest.Open(t, server.Config()), ratelimit.Options{Prefix: prefix(), Rate: 1, Burst: 1})
	require.NoError(t, server.Stop(t.Context()))
	_, err := l.Allow(context.Background(), "k")
	require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
}

func TestInvalidOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []ratelimit.Options{
		{}, {Prefix: "x", Rate: 1}, {Prefix: "x", Burst: 1}, {Prefix: "x", Rate: -1, Burst: 1},
		{Prefix: "x", Rate: 1e9, Burst: 1},
	} {
		_, err := ratelimit.New(nil, o)
		require.True(t, errs.Is(err, errs.Internal), "%+v", o)
	}
}

func BenchmarkAllow(b *testing.B) {
	ctx := context.Background()
	l := limiter(b, redistest.Client(b), ratelimit.Options{Prefix: prefix(), Rate: 1e6, Burst: 1000})
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Allow(ctx, "k"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
