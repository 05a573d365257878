package repository

import (
	"context"
	"time"

	"github.com/redis/rueidis"

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

// Allow takes one request from key's allowance.
func (l *Limiter) Allow(ctx context.Context, key string) (allowed bool, retryAfter time.Duration, err error) {
	if l.limiter == nil {
		return true, 0, nil
	}
	d, err := l.limiter.Allow(ctx, key)
	return d.Allowed, d.RetryAfter, err
}
