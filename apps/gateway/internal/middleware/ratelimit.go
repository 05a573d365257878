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

// RateLimit refuses with 429 who sends too much: signed-in callers and guests are counted each on their
// own, everybody else by address. When the count can't be had, requests pass and that is logged:
// a shop that is open without limits beats one that is closed.
func RateLimit(byCaller, byAddress Limiter, trusted []netip.Prefix, log *zap.Logger) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			limiter, key := byAddress, "a:"+ClientAddress(r, trusted)
			if a := identity.FromContext(r.Context()); a.IsUser() || a.IsGuest() {
				limiter, key = byCaller, "c:"+a.ID
			}
			allowed, retryAfter, err := limiter.Allow(r.Context(), key)
			if err != nil {
				log.Warn("rate limit not counted", zap.Error(err))
			} else if !allowed {
				WriteProblem(w, r, errs.New(errs.RateLimited, "too many requests: try again later").WithRetryAfter(max(retryAfter, time.Second)))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// ClientAddress returns the address that a request came from. X-Forwarded-For is believed as far as it was
// written by proxies in trusted.
func ClientAddress(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	forwarded := r.Header.Get("X-Forwarded-For")
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
