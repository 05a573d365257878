package repository

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"souk/apps/gateway/internal/middleware"
	"souk/pkg/cache"
	"souk/pkg/ratelimit"
	"souk/pkg/redisx"
)

// tagKept is how long a version is cached in the process before it is read again.
const tagKept = time.Minute

// Ping returns nil when Redis answers.
func Ping(ctx context.Context, client rueidis.Client) error { return redisx.Ping(ctx, client) }

// Tags returns the versions of cached responses' sources.
type Tags struct{ client rueidis.Client }

// NewTags returns Tags that read the versions from Redis with client-side caching.
func NewTags(client rueidis.Client) *Tags { return &Tags{client: client} }

// Watch returns a function that returns a tag's version.
func (t *Tags) Watch(tag string) func(context.Context) (string, error) {
	return cache.Watch(t.client, tagKept, cache.Tag(tag))
}

// Limiter counts requests; a Limiter without a rate allows all.
type Limiter struct{ limiter *ratelimit.Limiter }

// NewLimiter returns a limiter that allows perSecond requests per second for each key, and burst at once. A
// rate of 0 allows all.
func NewLimiter(client rueidis.Client, prefix string, perSecond, burst int) (*Limiter, error) {
	if perSecond == 0 {
		return &Limiter{}, nil
	}
	l, err := ratelimit.New(client, ratelimit.Options{Prefix: prefix, Rate: float64(perSecond), Burst: burst})
	if err != nil {
		return nil, err
	}
	return &Limiter{limiter: l}, nil
}

// KeyLimiters are the limiters of API keys, by their rate.
type KeyLimiters struct {
	client rueidis.Client
	made   sync.Map // rate to *Limiter; bounded by the highest rate
}

// NewKeyLimiters returns limiters that share what they count with those of other processes.
func NewKeyLimiters(client rueidis.Client) *KeyLimiters { return &KeyLimiters{client: client} }

// keyBurst is the least that an API key may send at once: as much as the request counts that counts most.
const keyBurst = 30

// Limiter returns the limiter of API keys that may send perMinute requests a minute, and as many at once as in ten
// seconds, but at least [keyBurst].
//
// Errors: internal (the rate is not above 0).
func (k *KeyLimiters) Limiter(perMinute int) (middleware.Limiter, error) {
	if l, ok := k.made.Load(perMinute); ok {
		return l.(*Limiter), nil //nolint:forcetypeassert // nothing else is stored
	}
	l, err := ratelimit.New(k.client,
		ratelimit.Options{Prefix: "key", Rate: float64(perMinute) / 60, Burst: max(keyBurst, perMinute/6)})
	if err != nil {
		return nil, err
	}
	made, _ := k.made.LoadOrStore(perMinute, &Limiter{limiter: l})
	return made.(*Limiter), nil //nolint:forcetypeassert // nothing else is stored
}

// Allow takes n requests from key's allowance, all or none.
func (l *Limiter) Allow(ctx context.Context, key string, n int) (allowed bool, retryAfter time.Duration, err error) {
	if l.limiter == nil {
		return true, 0, nil
	}
	d, err := l.limiter.AllowN(ctx, key, n)
	return d.Allowed, d.RetryAfter, err
}

// Allowance bounds the bytes that are kept for each caller; one without a limiter is boundless.
type Allowance struct{ limiter *ratelimit.Limiter }

const (
	// allowanceUnit is the size in which an Allowance counts.
	allowanceUnit = 1 << 10
	// keyOverhead is about what Redis needs for a key beside its value, in bytes.
	keyOverhead = 256
)

// NewRetention returns the retention of answers that are kept for ttl, within an allowance of bytes that a caller
// regains in that time. With 0 bytes it is boundless.
func NewRetention(client rueidis.Client, prefix string, bytes int, ttl time.Duration) (middleware.Retention, error) {
	if bytes == 0 {
		return middleware.Retention{TTL: ttl, Whole: &Allowance{}}, nil
	}
	units := max(1, bytes/allowanceUnit)
	l, err := ratelimit.New(client,
		ratelimit.Options{Prefix: prefix, Rate: float64(units) / ttl.Seconds(), Burst: units})
	return middleware.Retention{TTL: ttl, Whole: &Allowance{limiter: l}}, err
}

// Take takes bytes from who's allowance, or reports that it does not hold as many.
//
// Errors: unavailable.
func (a *Allowance) Take(ctx context.Context, who string, bytes int) (bool, error) {
	if a.limiter == nil {
		return true, nil
	}
	d, err := a.limiter.AllowN(ctx, who, (bytes+keyOverhead+allowanceUnit-1)/allowanceUnit)
	return d.Allowed, err
}
