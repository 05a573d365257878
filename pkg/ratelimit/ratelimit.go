// Package ratelimit says who asks too often: a limit that all processes share, kept in Redis.
//
// It is GCRA, the leaky bucket as a meter: a key may burst, and gets its burst back at a steady rate.
// One key costs one small string in Redis, which goes away by itself. The decision is one script, so it
// is exact however many ask at once, and it takes Redis's clock, so processes need not agree on theirs.
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

// Options describe a limit.
type Options struct {
	// Prefix begins the keys in Redis: "ratelimit:{prefix}:".
	Prefix string
	// Rate is how many a key may do a second in the long run; may be less than 1.
	Rate float64
	// Burst is how many a key may do at once after a rest. At least 1.
	Burst int
}

// Decision is the answer to one question.
type Decision struct {
	// Allowed says yes.
	Allowed bool
	// Remaining is how many more would be allowed right now.
	Remaining int
	// RetryAfter is when to ask again; 0 when allowed.
	RetryAfter time.Duration
	// Reset is when the whole burst is there again.
	Reset time.Duration
}

// Err returns errs.RateLimited with the time to wait, or nil when allowed.
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	return errs.New(errs.RateLimited, "too many requests, please slow down").WithRetryAfter(d.RetryAfter)
}

// Limiter applies one limit to any number of keys. It may be used by several goroutines.
type Limiter struct {
	client   rueidis.Client
	script   *rueidis.Lua
	prefix   string
	interval string // microseconds that one costs
	burst    string
}

// New returns a limiter. It fails with errs.Internal when the options make no sense.
func New(client rueidis.Client, o Options) (*Limiter, error) {
	// Above one a microsecond there is nothing left to count in; below one a month, numbers overflow.
	if o.Prefix == "" || !(o.Rate > 1e-7) || o.Rate > 1e6 || o.Burst < 1 || o.Burst > 1e6 {
		return nil, errs.New(errs.Internal, "ratelimit %q: rate %v and burst %d make no limit", o.Prefix, o.Rate, o.Burst)
	}
	return &Limiter{
		client:   client,
		script:   rueidis.NewLuaScript(source),
		prefix:   "ratelimit:" + o.Prefix + ":",
		interval: strconv.FormatFloat(1e6/o.Rate, 'f', 3, 64),
		burst:    strconv.Itoa(o.Burst),
	}, nil
}

// Allow counts one for the key, if that is still within the limit. It fails with errs.Unavailable when
// Redis is away: the caller decides what that means.
func (l *Limiter) Allow(ctx context.Context, key string) (Decision, error) {
	return l.AllowN(ctx, key, 1)
}

// AllowN counts n for the key, all or none. It fails as Allow does.
func (l *Limiter) AllowN(ctx context.Context, key string, n int) (Decision, error) {
	got, err := l.script.Exec(ctx, l.client, []string{l.prefix + key}, []string{l.interval, l.burst, strconv.Itoa(n)}).AsIntSlice()
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
