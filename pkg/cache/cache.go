// Package cache caches values that are expensive to load. Values are kept in Redis, which all processes share, and in
// each process, where Redis's client-side caching keeps them coherent.
//
// # Consistency
//
// A caller that misses takes a lease: it sets the key to a unique token if the key does not exist. Then it loads the
// value and replaces the token by the value, atomically and only if the token is still there. [Cache.Invalidate]
// deletes the key, whether it holds a value or a token. A value whose load began before an invalidation finds its
// token gone; it is not stored but loaded again. A caller that finds another caller's token loads the value itself,
// does not store it, and checks afterwards that the key was not invalidated in the meantime. Therefore:
//
//   - GetOrLoad returns a value that was loaded after every Invalidate in the same process that had returned before
//     the call. Another process may see the old value until Redis's invalidation message arrives, which takes well
//     under a millisecond on a healthy connection.
//   - A late writer cannot overwrite an invalidation with a stale value.
//
// A process loads a key only once at a time; concurrent callers wait for the load. While Redis is down, values are
// loaded directly, and Redis is not tried again for half a second after a failure.
//
// A value is decoded once per process and shared by all callers. It must not be modified.
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
	// leaseTime is the expiry of a lease. If its holder dies, other callers cannot store the value until then.
	leaseTime = 5 * time.Second
	// restTime is how long Redis is not used after it failed.
	restTime = 500 * time.Millisecond
	// loadAttempts is the maximum number of loads for one call, if the key is invalidated during each of them.
	loadAttempts = 4
	// decodedSlots is the maximum number of decoded values that a cache keeps.
	decodedSlots = 8192

	kindValue   = 'v'
	kindMissing = 'n'
	kindLease   = 'l'
)

// storeScript replaces the lease ARGV[1] by the value ARGV[2], which expires after ARGV[3] ms.
var storeScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
	return 1
end
return 0`)

// releaseScript deletes the lease ARGV[1].
var releaseScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`)

// Options configure a cache.
type Options[T any] struct {
	// Name is part of the keys in Redis, "cache:{name}:", and a label of the metrics. Required.
	Name string
	// TTL is how long a value is kept. Up to a tenth is subtracted at random, so that values stored at the same time
	// do not expire at the same time. Default: 1 minute.
	TTL time.Duration
	// MissingTTL is how long a missing value (load failed with errs.NotFound) is remembered. Default: 0, not at all.
	MissingTTL time.Duration
	// LoadTimeout bounds one load, which continues if its first caller gives up. Default: 5 s.
	LoadTimeout time.Duration
	// Encode and Decode convert values to bytes and back. Set both or neither. Default: JSON.
	Encode func(T) ([]byte, error)
	Decode func([]byte) (T, error)
	// Metrics registers cache_request_total by cache and result; nil disables it.
	Metrics prometheus.Registerer
}

// Cache caches values of one type. It is safe for concurrent use.
type Cache[T any] struct {
	client rueidis.Client
	o      Options[T]
	prefix string

	flights singleflight.Group
	rest    atomic.Int64 // unix nanoseconds until which Redis is not used
	decoded []atomic.Pointer[decoded[T]]
	seed    maphash.Seed

	hits, misses, missing, failures prometheus.Counter
}

// decoded is a value and the bytes that it was decoded from.
type decoded[T any] struct {
	raw   string
	value T
}

// New returns a cache that uses a client of redisx.Open.
//
// Errors: internal (the options are invalid).
func New[T any](client rueidis.Client, o Options[T]) (*Cache[T], error) {
	if o.Name == "" || (o.Encode == nil) != (o.Decode == nil) || o.TTL < 0 || o.MissingTTL < 0 {
		return nil, errs.New(errs.Internal,
			"cache %q: it needs a name, Encode with Decode or neither, and no negative TTL", o.Name)
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
		Name: "cache_request_total",
		Help: "Questions to a cache, by result: hit, miss, missing (a hit: there is nothing), unavailable (Redis is away).",
	},
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

// GetOrLoad returns the cached value of the key, or calls load and stores its value. load's context has the values
// of the first caller's context, but not its cancellation. A failure of Redis is not an error.
//
// Errors: those of load, not_found (a remembered miss), timeout (ctx ended first).
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
		// The load serves several callers, so it does not end with the context of one of them.
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

// Invalidate deletes the keys. When it returns, this process no longer sees the old values, and the invalidation is on
// its way to the other processes. If it fails, old values may reappear when Redis is back, for the rest of their TTL.
//
// Errors: unavailable.
func (c *Cache[T]) Invalidate(ctx context.Context, keys ...string) error {
	var failed error
	for _, key := range keys {
		full := c.prefix + key
		// On the single connection (see redisx.Open) the invalidation of our own client-side cache follows the
		// answer to DEL. Once the answer to the next command has arrived, the invalidation has been applied.
		for _, r := range c.client.DoMulti(ctx, c.client.B().Del().Key(full).Build(),
			c.client.B().Exists().Key(full).Build()) {
			if err := redisx.Err(r.Error()); err != nil && failed == nil {
				failed = err
			}
		}
		c.flights.Forget(key) // later calls do not join a load that began before
	}
	return failed
}

// read decodes a value from Redis. ok is false for a lease and for a value that cannot be decoded.
func (c *Cache[T]) read(key, raw string) (v T, ok bool, err error) {
	if raw == "" {
		return v, false, nil
	}
	switch raw[0] {
	case kindValue:
		slot := &c.decoded[maphash.String(c.seed, key)%decodedSlots]
		// A client-side hit returns the same string as before, so the comparison only compares pointers.
		if d := slot.Load(); d != nil && d.raw == raw {
			c.hits.Inc()
			return d.value, true, nil
		}
		v, err := c.o.Decode([]byte(raw[1:]))
		if err != nil { // written by another version of the program
			return v, false, nil //nolint:nilerr // treated as a miss
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

// fill loads the value and stores it, unless the key is invalidated in the meantime.
func (c *Cache[T]) fill(ctx context.Context, key string, load func(context.Context) (T, error)) (T, error) {
	full := c.prefix + key
	for attempt := 1; ; attempt++ {
		if c.resting() {
			c.failures.Inc()
			return load(ctx)
		}
		lease := string(kindLease) + id.New("lse")
		old, err := c.client.Do(ctx, c.client.B().Set().Key(full).Value(lease).Nx().Get().Px(leaseTime).Build()).
			ToString()
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
			} else if err := c.client.Do(ctx,
				c.client.B().Del().Key(full).Build()).Error(); err == nil && attempt < loadAttempts {
				continue // the old value could not be decoded
			}
		}
		c.misses.Inc()
		v, loadErr := load(ctx)
		if c.store(ctx, full, lease, old == lease, v, loadErr) || attempt == loadAttempts {
			return v, loadErr
		}
	}
}

// recovering converts a panic of load to an error. load runs on a goroutine that has no other recovery.
func recovering[T any](load func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (v T, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = errs.Wrap(fmt.Errorf("panic: %v\n%s", r, debug.Stack()), errs.Internal,
					"something went wrong on our side")
			}
		}()
		return load(ctx)
	}
}

// store stores the result of a load under its lease. It returns false if the key was invalidated since the lease was
// taken. foreign means that the lease belongs to another caller; then it only checks for an invalidation.
func (c *Cache[T]) store(ctx context.Context, full, lease string, foreign bool, v T, loadErr error) bool {
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
		// The key was not invalidated if it still holds the same lease. Otherwise it may have been.
		current, err := c.client.Do(ctx, c.client.B().Get().Key(full).Build()).ToString()
		return current == lease || (err != nil && !rueidis.IsRedisNil(err))
	}
	if foreign {
		return true
	}
	if body == nil {
		_ = releaseScript.Exec(ctx, c.client, []string{full}, []string{lease}).Error()
		// ignored: the lease expires anyway
		return true
	}
	ttl -= time.Duration(rand.Int64N(int64(ttl)/10 + 1)) //nolint:gosec // jitter
	stored, err := storeScript.Exec(ctx, c.client, []string{full},
		[]string{lease, rueidis.BinaryString(body), milliseconds(ttl)}).
		AsInt64()
	if err != nil {
		c.failed()
		return true
	}
	return stored == 1
}

func (c *Cache[T]) failed() { c.rest.Store(now().Add(restTime).UnixNano()) }

func (c *Cache[T]) resting() bool {
	until := c.rest.Load()
	return until != 0 && now().UnixNano() < until
}
