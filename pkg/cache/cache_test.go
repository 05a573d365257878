package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"souk/pkg/cache"
	"souk/pkg/errs"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

type product struct {
	ID    string `json:"id"`
	Price int64  `json:"price"`
}

func name() string { return fmt.Sprintf("t%x", rand.Uint64()) }

func open(t testing.TB, client rueidis.Client, o cache.Options[product]) *cache.Cache[product] {
	t.Helper()
	c, err := cache.New(client, o)
	require.NoError(t, err)
	return c
}

func TestMissIsFollowedByHits(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	reg := prometheus.NewRegistry()
	o := cache.Options[product]{Name: name(), Metrics: reg}
	a, b := open(t, redistest.Client(t), o), open(t, redistest.Client(t), o)
	loads := 0
	load := func(context.Context) (product, error) { loads++; return product{ID: "p", Price: 7}, nil }
	for range 5 {
		for _, c := range []*cache.Cache[product]{a, b} {
			got, err := c.GetOrLoad(ctx, "p", load)
			require.NoError(t, err)
			require.Equal(t, product{ID: "p", Price: 7}, got)
		}
	}
	require.Equal(t, 1, loads)
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(fmt.Sprintf(`
# HELP cache_request_total Questions to a cache, by result: hit, miss, missing (a hit: there is nothing), unavailable (Redis is away).
# TYPE cache_request_total counter
cache_request_total{cache=%[1]q,result="hit"} 9
cache_request_total{cache=%[1]q,result="miss"} 1
cache_request_total{cache=%[1]q,result="missing"} 0
cache_request_total{cache=%[1]q,result="unavailable"} 0
`, o.Name))))
}

func TestConcurrentCallersShareOneLoad(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := open(t, redistest.Client(t), cache.Options[product]{Name: name()})
	var loads atomic.Int32
	entered, release := make(chan struct{}), make(chan struct{})
	load := func(context.Context) (product, error) {
		if loads.Add(1) == 1 {
			close(entered)
		}
		waittest.Receive(t, release)
		return product{ID: "p"}, nil
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, err := c.GetOrLoad(ctx, "p", load); err != nil || got.ID != "p" {
				t.Error(got, err)
			}
		})
	}
	waittest.Receive(t, entered)
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err := c.GetOrLoad(short, "p", load)
	require.True(t, errs.Is(err, errs.Timeout))
	close(release)
	wg.Wait()
	require.Equal(t, int32(1), loads.Load())
}

func TestErrorsAreNotCached(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := cache.Options[product]{Name: name()}
	client := redistest.Client(t)
	c := open(t, client, o)
	loads := 0
	missing := func(context.Context) (product, error) {
		loads++
		return product{}, errs.New(errs.NotFound, "no such product")
	}
	for range 2 {
		_, err := c.GetOrLoad(ctx, "p", missing)
		require.True(t, errs.Is(err, errs.NotFound))
	}
	require.Equal(t, 2, loads)
	_, err := c.GetOrLoad(ctx, "p", func(context.Context) (product, error) { panic("boom") })
	require.True(t, errs.Is(err, errs.Internal))
	require.ErrorContains(t, err, "boom")
	got, err := c.GetOrLoad(ctx, "p", func(context.Context) (product, error) { return product{ID: "p"}, nil })
	require.NoError(t, err)
	require.Equal(t, "p", got.ID)

	o.Name, o.MissingTTL = name(), time.Minute
	c, loads = open(t, client, o), 0
	for range 3 {
		_, err := c.GetOrLoad(ctx, "q", missing)
		require.True(t, errs.Is(err, errs.NotFound))
		require.Equal(t, "no such product", errs.From(err).Message)
	}
	require.Equal(t, 1, loads)
	require.NoError(t, c.Invalidate(ctx, "q"))
	_, err = c.GetOrLoad(ctx, "q", func(context.Context) (product, error) { return product{ID: "q"}, nil })
	require.NoError(t, err)
}

// TestOtherProcessesSeeAnInvalidation uses the caches of two processes, each with its own client-side cache.
func TestOtherProcessesSeeAnInvalidation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := cache.Options[product]{Name: name()}
	a, b := open(t, redistest.Client(t), o), open(t, redistest.Client(t), o)
	var price atomic.Int64
	load := func(context.Context) (product, error) { return product{ID: "p", Price: price.Load()}, nil }
	get := func(c *cache.Cache[product]) int64 {
		v, err := c.GetOrLoad(ctx, "p", load)
		require.NoError(t, err)
		return v.Price
	}
	for want := range int64(200) {
		require.Equal(t, want, get(a))
		deadline := time.Now().Add(5 * time.Second)
		for get(b) != want { // until the invalidation arrives
			require.True(t, time.Now().Before(deadline), "the other process still sees the old value")
		}
		price.Store(want + 1)
		require.NoError(t, a.Invalidate(ctx, "p"))
	}
}

// TestValueLoadedBeforeAnInvalidationIsDropped delays a load until after an invalidation. Its value is neither stored
// nor returned to callers that came after the invalidation.
func TestValueLoadedBeforeAnInvalidationIsDropped(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := cache.Options[product]{Name: name()}
	a, b := open(t, redistest.Client(t), o), open(t, redistest.Client(t), o)
	for _, invalidator := range []*cache.Cache[product]{a, b} {
		require.NoError(t, a.Invalidate(ctx, "p"))
		read, release, done := make(chan struct{}), make(chan struct{}), make(chan product, 1)
		var once sync.Once
		go func() {
			v, _ := a.GetOrLoad(ctx, "p", func(context.Context) (product, error) {
				first := false
				once.Do(func() { first = true })
				if !first {
					return product{Price: 2}, nil
				}
				close(read) // the old value was read from the database, and arrives late
				waittest.Receive(t, release)
				return product{Price: 1}, nil
			})
			done <- v
		}()
		waittest.Receive(t, read)
		require.NoError(t, invalidator.Invalidate(ctx, "p"))
		fresh := func(context.Context) (product, error) { return product{Price: 2}, nil }
		got, err := invalidator.GetOrLoad(ctx, "p", fresh)
		require.NoError(t, err)
		require.Equal(t, int64(2), got.Price)
		close(release)
		require.Equal(t, int64(2), waittest.Receive(t, done).Price)
		for _, c := range []*cache.Cache[product]{a, b} {
			got, err := c.GetOrLoad(ctx, "p", fresh)
			require.NoError(t, err)
			require.Equal(t, int64(2), got.Price)
		}
	}
}

// TestReadersNeverSeeAValueFromBeforeAnInvalidation changes a counter and invalidates it. Readers in the same process
// never see less than the counter's value at an invalidation that had returned before they read.
func TestReadersNeverSeeAValueFromBeforeAnInvalidation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := cache.Options[product]{Name: name()}
	a, b := open(t, redistest.Client(t), o), open(t, redistest.Client(t), o)
	var database, invalidated atomic.Int64
	load := func(context.Context) (product, error) { return product{Price: database.Load()}, nil }
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := invalidated.Load()
				if v, err := a.GetOrLoad(ctx, "p", load); err != nil || v.Price < least {
					t.Errorf("got %d, %v after an invalidation at %d", v.Price, err, least)
					return
				}
				if _, err := b.GetOrLoad(ctx, "p", load); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range int64(1500) {
		database.Store(i)
		require.NoError(t, a.Invalidate(ctx, "p"))
		invalidated.Store(i)
	}
	close(stop)
	wg.Wait()
	last := database.Load()
	waittest.Until(t, func() bool {
		v, err := b.GetOrLoad(ctx, "p", load)
		return err == nil && v.Price == last
	}, "an old value stays")
}

func TestValuesAreLoadedWithoutRedis(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := redistest.Private(t)
	c := open(t, redistest.Open(t, server.Config()), cache.Options[product]{Name: name()})
	require.NoError(t, server.Stop(t.Context()))
	for range 3 {
		start := time.Now()
		got, err := c.GetOrLoad(ctx, "p", func(context.Context) (product, error) { return product{ID: "p"}, nil })
		require.NoError(t, err)
		require.Equal(t, "p", got.ID)
		require.Less(t, time.Since(start), time.Second)
	}
	require.True(t, errs.Is(c.Invalidate(ctx, "p"), errs.Unavailable))
}

func TestValuesOfAnotherVersionAreLoadedAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	client := redistest.Client(t)
	n := name()
	old, err := cache.New(client, cache.Options[string]{Name: n})
	require.NoError(t, err)
	_, err = old.GetOrLoad(ctx, "p", func(context.Context) (string, error) { return "text", nil })
	require.NoError(t, err)
	c := open(t, client, cache.Options[product]{Name: n})
	for range 2 {
		got, err := c.GetOrLoad(ctx, "p", func(context.Context) (product, error) { return product{ID: "p"}, nil })
		require.NoError(t, err)
		require.Equal(t, "p", got.ID)
	}
	require.NoError(t, client.Do(ctx, client.B().Del().Key("cache:"+n+":p").Build()).Error())
}

func TestInvalidOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []cache.Options[product]{
		{}, {Name: "x", TTL: -1}, {Name: "x", Encode: func(product) ([]byte, error) { return nil, errors.New("x") }},
	} {
		_, err := cache.New(nil, o)
		require.True(t, errs.Is(err, errs.Internal))
	}
}

func BenchmarkHit(b *testing.B) {
	ctx := context.Background()
	type big struct{ Items []product }
	value := big{Items: make([]product, 20)}
	c, err := cache.New(redistest.Client(b), cache.Options[big]{Name: name()})
	require.NoError(b, err)
	load := func(context.Context) (big, error) { return value, nil }
	b.Run("kept decoded", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.GetOrLoad(ctx, "p", load); err != nil {
				b.Fatal(err)
			}
		}
	})
	raw, err := json.Marshal(value)
	require.NoError(b, err)
	b.Run("what decoding would add", func(b *testing.B) {
		for b.Loop() {
			var v big
			if err := json.Unmarshal(raw, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
