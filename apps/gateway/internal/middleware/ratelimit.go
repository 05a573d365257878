package middleware

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/identity"
)

// Limiter counts requests by key, across all gateways.
type Limiter interface {
	// Allow takes n requests from key's allowance, all or none. retryAfter is the wait until they are allowed.
	Allow(ctx context.Context, key string, n int) (allowed bool, retryAfter time.Duration, err error)
}

// Limits are the rate limits. Each signed-in caller and each API key has a limit. All others share the limit of their
// address, including guests, because anybody can create any number of guests.
type Limits struct {
	ByCaller Limiter
	// ByKey returns the limiter of an API key that may send that many requests a minute.
	ByKey     func(perMinute int) (Limiter, error)
	ByAddress Limiter
	// Trusted are the networks of proxies whose X-Forwarded-For is trusted.
	Trusted []netip.Prefix
	Metrics *Metrics
	Logger  *zap.Logger
}

// key identifies who sent r: the signed-in caller or the API key, or the address of all others.
func (l Limits) key(r *http.Request) string {
	if a := identity.FromContext(r.Context()); a.IsUser() || a.IsKey() {
		return "c:" + a.ID
	}
	return "a:" + Network(ClientAddress(r, l.Trusted))
}

// RateLimit refuses requests beyond the limit with 429. If the count is unavailable, requests pass and that
// is logged: an open shop without limits is better than a closed one.
func RateLimit(l Limits) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := l.Take(r, 1); err != nil {
				WriteProblem(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Take takes n requests from the allowance of the caller of r.
//
// Errors: rate_limited.
func (l Limits) Take(r *http.Request, n int) error {
	from, name := l.ByAddress, "address"
	if a := identity.FromContext(r.Context()); a.IsUser() || a.IsKey() {
		from, name = l.ByCaller, "caller"
	}
	if x := From(r.Context()); x != nil && x.RatePerMinute > 0 {
		own, err := l.ByKey(x.RatePerMinute)
		if err != nil {
			return err
		}
		from, name = own, "key"
	}
	return l.take(r.Context(), from, name, l.key(r), n)
}

// takeByAddress takes n requests from the allowance of the address of r.
func (l Limits) takeByAddress(r *http.Request, n int) error {
	return l.take(r.Context(), l.ByAddress, "address", "a:"+Network(ClientAddress(r, l.Trusted)), n)
}

// take takes n requests from key's allowance.
//
// Errors: rate_limited.
func (l Limits) take(ctx context.Context, from Limiter, name, key string, n int) error {
	allowed, retryAfter, err := from.Allow(ctx, key, n)
	if err != nil {
		l.Logger.Warn("rate limit not counted", zap.Error(err))
		return nil
	}
	if !allowed {
		l.Metrics.limited.WithLabelValues(name).Inc()
		return errs.New(errs.RateLimited, "too many requests: try again later").
			WithRetryAfter(max(retryAfter, time.Second))
	}
	return nil
}

// subscriberBits is the length of the IPv6 prefix that identifies a subscriber, who owns all addresses in it.
const subscriberBits = 64

// Network returns the key under which an address is counted: itself, or the /64 of an IPv6 address.
func Network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(subscriberBits)
	if err != nil {
		return address
	}
	return p.String()
}

// ClientAddress returns the address that a request came from. X-Forwarded-For is trusted as far as trusted
// proxies wrote it.
func ClientAddress(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	// A proxy may add a header line of its own below those that it received.
	forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if forwarded == "" || !within(host, trusted) {
		return host
	}
	hops := strings.Split(forwarded, ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if _, err := netip.ParseAddr(hop); err != nil {
			break
		}
		host = hop
		if !within(hop, trusted) {
			break
		}
	}
	return host
}

func within(host string, prefixes []netip.Prefix) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && Within(addr, prefixes)
}

// Within reports whether an address is in one of the networks.
func Within(addr netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
