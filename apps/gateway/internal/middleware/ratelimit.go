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

// Limiter counts requests by key, the same for all gateways.
type Limiter interface {
	// Allow takes one request of key's allowance. retryAfter is when the next would be allowed.
	Allow(ctx context.Context, key string) (allowed bool, retryAfter time.Duration, err error)
}

// Limits says who may send how much: signed-in callers are counted each on their own; everybody else by
// address, guests too, since anybody can make as many of them as they like.
type Limits struct {
	ByCaller  Limiter
	ByAddress Limiter
	// Trusted are the networks of proxies whose X-Forwarded-For is believed.
	Trusted []netip.Prefix
	Logger  *zap.Logger
}

// RateLimit refuses with 429 who sends too much. When the count can't be had, requests pass and that is logged:
// a shop that is open without limits beats one that is closed.
func RateLimit(l Limits) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var err error
			if a := identity.FromContext(r.Context()); a.IsUser() {
				err = l.take(r.Context(), l.ByCaller, "c:"+a.ID)
			} else {
				err = l.takeByAddress(r)
			}
			if err != nil {
				WriteProblem(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// takeByAddress takes one request of the allowance of the address that sends r.
func (l Limits) takeByAddress(r *http.Request) error {
	return l.take(r.Context(), l.ByAddress, "a:"+network(ClientAddress(r, l.Trusted)))
}

// take takes one request of key's allowance, and fails when there is none left.
func (l Limits) take(ctx context.Context, from Limiter, key string) error {
	allowed, retryAfter, err := from.Allow(ctx, key)
	if err != nil {
		l.Logger.Warn("rate limit not counted", zap.Error(err))
		return nil
	}
	if !allowed {
		return errs.New(errs.RateLimited, "too many requests: try again later").WithRetryAfter(max(retryAfter, time.Second))
	}
	return nil
}

// subscriberBits is how much of an IPv6 address names a subscriber, who has all addresses below it.
const subscriberBits = 64

// network returns what an address is counted as: itself, or with IPv6 the /64 that it is in.
func network(address string) string {
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

// ClientAddress returns the address that a request came from. X-Forwarded-For is believed as far as it was
// written by proxies in trusted.
func ClientAddress(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	// A proxy may write a line of its own below those that it was sent.
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
	if err != nil {
		return false
	}
	for _, p := range prefixes {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
