// Package cache keeps the answers to expensive questions: in Redis, where all processes share them, and
// in front of it in the process itself, where Redis's client-side caching keeps them coherent.
//
// # How a value stays true
//
// Whoever misses takes a lease: it sets the key to a token of its own, if there is nothing. Then it
// loads, and replaces its token by the value, atomically and only if the token still stands there.
// [Cache.Invalidate] deletes the key, a token included: a value that was loaded before the
// invalidation finds its token gone, is not kept, and is loaded again. Who finds another's token loads
// for itself, keeps nothing, and checks afterwards that the key was not invalidated meanwhile. So:
//
//   - what GetOrLoad returns was loaded after the last Invalidate that had returned before it was called,
//     in the same process; another process may see the old value until Redis's notice arrives, which
//     takes well under a millisecond on a healthy connection;
//   - a stale value is never left behind: a late writer cannot overwrite an invalidation.
//
// One process loads a key once at a time; the others that ask for it wait for that. When Redis is away,
// values are loaded directly, and Redis is left alone for half a second at a time.
//
// A value is decoded once a process and shared by all who ask: it must not be changed.
package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"golang.org/x/sync/singleflight"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/metric"
	"souk/pkg/redisx"
)

const (
	// leaseTime is how long a loader that dies keeps others from keeping what they loaded.
	leaseTime = 5 * time.Second
	// restTime is how long Redis is left alone after it failed.
	restTime = 500 * time.Millisecond
	// loadAttempts is how often a load starts again because its key was invalidated meanwhile.
	loadAttempts = 4
	// decodedSlots is how many decoded values a cache keeps, at most.
	decodedSlots = 8192

	kindValue   = 'v'
	kindMissing = 'n'
	kindLease   = 'l'
)

// keep replaces the lease ARGV[1] by the value ARGV[2] for ARGV[3] ms.
var keep = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
	return 1
end
return 0`)

// drop gives the lease ARGV[1] back.
var drop = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`)

// Options describe a cache.
type Options[T any] struct {
	// Name begins the keys in Redis, "cache:{name}:", and labels the metrics.
	Name string
	// TTL is how long a value is kept; a tenth is taken off at random, so that values that came
	// together do not go together. Default: 1 minute.
	TTL time.Duration
	// MissingTTL is how long it is remembered that there is nothing (load failed with errs.NotFound).
	// Default: 0, not at all.
	MissingTTL time.Duration
	// LoadTimeout bounds one load, which goes on when its first caller gives up. Default: 5 s.
	LoadTimeout time.Duration
	// Encode and Decode turn values into bytes and back. Default: JSON.
	Encode func(T) ([]byte, error)
	Decode func([]byte) (T, error)
	// Metrics takes cache_request_total by cache and result; nil: none.
	Metrics prometheus.Registerer
}

// Cache keeps values of one type. It may be used by several goroutines.
type Cache[T any] struct {
	client rueidis.Client
	o      Options[T]
	prefix string

	flights singleflight.Group
	rest    atomic.Int64 // unix nanoseconds until which Redis is left alone
	decoded []atomic.Pointer[decoded[T]]
	seed    maphash.Seed

	hits, misses, missing, failures prometheus.Counter
}

// decoded is a value beside the bytes that it was decoded from.
type decoded[T any] struct {
	raw   string
	value T
}

// New returns a cache behind a client of redisx.Open. It fails with errs.Internal when the options make no sense.
func New[T any](client rueidis.Client, o Options[T]) (*Cache[T], error) {
	if o.Name == "" || (o.Encode == nil) != (o.Decode == nil) || o.TTL < 0 || o.MissingTTL < 0 {
		return nil, errs.New(errs.Internal, "cache %q: it needs a name, Encode with Decode or neither, and no negative TTL", o.Name)
	}
	if o.TTL == 0 {
		o.TTL = time.Minute
	}
	if o.LoadTimeout == 0 {
		o.LoadTimeout = 5 * time.Second
	}
	if o.Encode == nil {
		o.Encode = func(v T) ([]byte, error) { return json.Marshal(v) }
		o.Decode = func(b []byte) (v T, err error) { err = json.Unmarshal(b, &v); return v, err }
	}
	requests, err := metric.Register(o.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_request_total", Help: "Questions to a cache, by result: hit, miss, missing (a hit: there is nothing), unavailable (Redis is away)."},
		[]string{"cache", "result"}))
	if err != nil {
		return nil, err
	}
	return &Cache[T]{
		client: client, o: o, prefix: "cache:" + o.Name + ":",
		decoded: make([]atomic.Pointer[decoded[T]], decodedSlots), seed: maphash.MakeSeed(),
		hits: requests.WithLabelValues(o.Name, "hit"), misses: requests.WithLabelValues(o.Name, "miss"),
		missing: requests.WithLabelValues(o.Name, "missing"), failures: requests.WithLabelValues(o.Name, "unavailable"),
	}, nil
}

// GetOrLoad returns the value of the key: the kept one, or what load returns, which is then kept. load
// runs with the values of the first caller's context, but not its end. It fails as load does, with
// errs.NotFound when that is remembered, and with errs.Timeout when ctx ends first; never because of Redis.
func (c *Cache[T]) GetOrLoad(ctx context.Context, key string, load func(context.Context) (T, error)) (T, error) {
	var zero T
	if !c.resting() {
		raw, err := c.client.DoCache(ctx, c.client.B().Get().Key(c.prefix+key).Cache(), c.o.TTL).ToString()
		switch {
		case err == nil:
			if v, ok, err := c.read(key, raw); ok {
				return v, err
			}
		case ctx.Err() != nil:
			return zero, errs.From(ctx.Err())
		case !rueidis.IsRedisNil(err):
			c.failed()
		}
	}
	result := c.flights.DoChan(key, func() (any, error) {
		// Those who wait have contexts of their own.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.LoadTimeout)
		defer cancel()
		return c.fill(ctx, key, recovering(load))
	})
	select {
	case r := <-result:
		v, ok := r.Val.(T)
		if !ok {
			return zero, r.Err
		}
		return v, r.Err
	case <-ctx.Done():
		return zero, errs.From(ctx.Err())
	}
}

// Invalidate forgets the keys. When it returns, this process sees the old values no more, and others
// are being told. It fails with errs.Unavailable when Redis is away: then old values may be there, for
// the rest of their TTL, when Redis comes back.
func (c *Cache[T]) Invalidate(ctx context.Context, keys ...string) error {
	var failed error
	for _, key := range keys {
		full := c.prefix + key
		// The notice for our own client-side cache comes behind the answer to DEL on the one connection
		// that there is (see redisx.Open); when the next answer is there, it has been taken in.
		for _, r := range c.client.DoMulti(ctx, c.client.B().Del().Key(full).Build(), c.client.B().Exists().Key(full).Build()) {
			if err := redisx.Err(r.Error()); err != nil && failed == nil {
				failed = err
			}
		}
		c.flights.Forget(key) // who asks from now on does not join a load that began before
	}
	return failed
}

// read makes a value of what Redis has. It is not ok for a lease or for what cannot be read.
func (c *Cache[T]) read(key, raw string) (v T, ok bool, err error) {
	if raw == "" {
		return v, false, nil
	}
	switch raw[0] {
	case kindValue:
		slot := &c.decoded[maphash.String(c.seed, key)%decodedSlots]
		// A client-side hit is the same string as before, so this compares two pointers.
		if d := slot.Load(); d != nil && d.raw == raw {
			c.hits.Inc()
			return d.value, true, nil
		}
		v, err := c.o.Decode([]byte(raw[1:]))
		if err != nil { // another version of the program wrote it
			return v, false, nil //nolint:nilerr // as if it were not there
		}
		slot.Store(&decoded[T]{raw: raw, value: v})
		c.hits.Inc()
		return v, true, nil
	case kindMissing:
		c.missing.Inc()
		return v, true, errs.New(errs.NotFound, "%s", raw[1:])
	default:
		return v, false, nil
	}
}

// fill loads the value, and keeps it unless the key was invalidated meanwhile.
func (c *Cache[T]) fill(ctx context.Context, key string, load func(context.Context) (T, error)) (T, error) {
	full := c.prefix + key
	for attempt := 1; ; attempt++ {
		if c.resting() {
			c.failures.Inc()
			return load(ctx)
		}
		lease := string(kindLease) + id.New("lse")
		old, err := c.client.Do(ctx, c.client.B().Set().Key(full).Value(lease).Nx().Get().Px(leaseTime).Build()).ToString()
		switch {
		case rueidis.IsRedisNil(err): // the lease is ours
		case err != nil:
			c.failed()
			continue
		default:
			if v, ok, err := c.read(key, old); ok {
				return v, err
			}
			if old != "" && old[0] == kindLease {
				lease = old
			} else if err := c.client.Do(ctx, c.client.B().Del().Key(full).Build()).Error(); err == nil && attempt < loadAttempts {
				continue // what stood there could not be read
			}
		}
		c.misses.Inc()
		v, loadErr := load(ctx)
		if c.settle(ctx, full, lease, old == lease, v, loadErr) || attempt == loadAttempts {
			return v, loadErr
		}
	}
}

// recovering makes an error of a panic: a load runs on a goroutine where nobody else would catch it.
func recovering[T any](load func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (v T, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = errs.Wrap(fmt.Errorf("panic: %v\n%s", r, debug.Stack()), errs.Internal, "something went wrong on our side")
			}
		}()
		return load(ctx)
	}
}

// settle keeps what was loaded under a lease. It is false when the key was invalidated since.
func (c *Cache[T]) settle(ctx context.Context, full, lease string, foreign bool, v T, loadErr error) bool {
	var body []byte
	ttl := c.o.TTL
	switch {
	case loadErr == nil && !foreign:
		encoded, err := c.o.Encode(v)
		if err != nil {
			break
		}
		body = append([]byte{kindValue}, encoded...)
	case errs.Is(loadErr, errs.NotFound) && !foreign && c.o.MissingTTL > 0:
		body = append([]byte{kindMissing}, errs.From(loadErr).Message...)
		ttl = c.o.MissingTTL
	case foreign && loadErr == nil:
		// The same lease means that the key was not invalidated; anything else, that it may have been.
		now, err := c.client.Do(ctx, c.client.B().Get().Key(full).Build()).ToString()
		return now == lease || (err != nil && !rueidis.IsRedisNil(err))
	}
	if foreign {
		return true
	}
	if body == nil {
		_ = drop.Exec(ctx, c.client, []string{full}, []string{lease}).Error() // it ends by itself
		return true
	}
	ttl -= time.Duration(rand.Int64N(int64(ttl)/10 + 1)) //nolint:gosec // jitter
	kept, err := keep.Exec(ctx, c.client, []string{full}, []string{lease, rueidis.BinaryString(body), milliseconds(ttl)}).AsInt64()
	if err != nil {
		c.failed()
		return true
	}
	return kept == 1
}

func (c *Cache[T]) failed() { c.rest.Store(now().Add(restTime).UnixNano()) }

func (c *Cache[T]) resting() bool {
	until := c.rest.Load()
	return until != 0 && now().UnixNano() < until
}
