// Package ratelimit implements rate limits that all processes share through Redis.
//
// The algorithm is GCRA, the leaky bucket as a meter: a key may burst, and regains its burst at a steady rate. A key
// takes one small string in Redis, which expires. A script makes the decision, so it is exact under concurrency, and
// uses Redis's clock, so the clocks of processes need not agree.
package ratelimit

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/errs"
	"souk/pkg/redisx"
)

//go:embed gcra.lua
var source string

// Options configure a limit.
type Options struct {
	// Prefix is part of the keys in Redis: "ratelimit:{prefix}:". Required.
	Prefix string
	// Rate is the sustained number of requests per second and key. It may be less than 1.
	Rate float64
	// Burst is the number of requests that a key may make at once after a pause. At least 1.
	Burst int
}

// Decision is the result of a request to a Limiter.
type Decision struct {
	// Allowed reports whether the request is within the limit.
	Allowed bool
	// Remaining is how many more requests would be allowed now.
	Remaining int
	// RetryAfter is how long to wait before a retry; 0 if allowed.
	RetryAfter time.Duration
	// Reset is how long it takes until the whole burst is available again.
	Reset time.Duration
}

// Err returns an errs.RateLimited error with RetryAfter, or nil if allowed.
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	return errs.New(errs.RateLimited, "too many requests, please slow down").WithRetryAfter(d.RetryAfter)
}

// Limiter applies one limit to any number of keys. It is safe for concurrent use.
type Limiter struct {
	client   rueidis.Client
	script   *rueidis.Lua
	prefix   string
	interval string // microseconds per request
	burst    string
}

// New returns a limiter.
//
// Errors: internal (the options are invalid).
func New(client rueidis.Client, o Options) (*Limiter, error) {
	// Rates above one per microsecond are beyond the clock's resolution. Rates below the minimum overflow.
	if o.Prefix == "" || !(o.Rate > 1e-7) || o.Rate > 1e6 || o.Burst < 1 || o.Burst > 1e6 {
		return nil, errs.New(errs.Internal, "ratelimit %q: rate %v and burst %d make no limit", o.Prefix, o.Rate,
			o.Burst)
	}
	return &Limiter{
		client:   client,
		script:   rueidis.NewLuaScript(source),
		prefix:   "ratelimit:" + o.Prefix + ":",
		interval: strconv.FormatFloat(1e6/o.Rate, 'f', 3, 64),
		burst:    strconv.Itoa(o.Burst),
	}, nil
}

// Allow counts one request of the key if that is within the limit.
//
// Errors: unavailable (Redis is down; the caller decides whether to allow the request).
func (l *Limiter) Allow(ctx context.Context, key string) (Decision, error) {
	return l.AllowN(ctx, key, 1)
}

// AllowN counts n requests of the key, all or none.
//
// Errors: those of Allow.
func (l *Limiter) AllowN(ctx context.Context, key string, n int) (Decision, error) {
	got, err := l.script.Exec(ctx, l.client, []string{l.prefix + key}, []string{l.interval, l.burst, strconv.Itoa(n)}).
		AsIntSlice()
	if err != nil {
		return Decision{}, redisx.Err(err)
	}
	if len(got) != 4 {
		return Decision{}, errs.New(errs.Internal, "ratelimit: the script answered %v", got)
	}
	return Decision{
		Allowed:    got[0] == 1,
		Remaining:  int(got[1]),
		RetryAfter: time.Duration(got[2]) * time.Microsecond,
		Reset:      time.Duration(got[3]) * time.Microsecond,
	}, nil
}
