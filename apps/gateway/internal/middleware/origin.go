package middleware

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"souk/pkg/errs"
	"souk/pkg/loopback"
)

// anyPort ends an origin that stands for all ports of its host.
const anyPort = ":*"

// Origins are the origins whose pages may call the API with the user's cookie.
type Origins []string

// ValidOrigin reports whether s is an origin such as https://shop.example, or http://localhost:* with any port.
func ValidOrigin(s string) bool {
	s = strings.TrimSuffix(s, anyPort)
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == s
}

// allows reports whether origin is one of os.
func (os Origins) allows(origin string) bool {
	if slices.Contains(os, origin) {
		return true
	}
	for _, o := range os {
		base, anyPorts := strings.CutSuffix(o, anyPort)
		port, same := strings.CutPrefix(origin, base)
		if anyPorts && same && (port == "" || port[0] == ':' && strings.Trim(port[1:], "0123456789") == "") {
			return true
		}
	}
	return false
}

// CORS lets pages of the allowed origins call the API. The configuration refuses "*", because cookies are
// sent.
func CORS(allowed Origins) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			origin := r.Header.Get("Origin")
			if origin == "" || len(allowed) == 0 {
				exchangeOf(w, r).byOrigin = len(allowed) > 0
				next.ServeHTTP(w, r)
				return
			}
			h := w.Header()
			h.Add("Vary", "Origin")
			if allowed.allows(origin) {
				h.Set("Access-Control-Allow-Origin", origin)
				h.Set("Access-Control-Allow-Credentials", "true")
				h.Set("Access-Control-Expose-Headers",
					"Age, ETag, Idempotent-Replayed, Location, Retry-After, Warning, X-Request-Id")
				if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
					h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
					h.Set(
						"Access-Control-Allow-Headers",
						"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Traceparent, X-Request-Id",
					)
					h.Set("Access-Control-Max-Age", "600")
					w.WriteHeader(http.StatusNoContent)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// CrossOrigin refuses requests that a page of another site makes a browser send with our cookie. Requests
// with a bearer token carry no ambient authority and pass.
func CrossOrigin(trusted Origins) Middleware {
	p := http.NewCrossOriginProtection()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				if err := p.Check(r); err != nil && !trusted.allows(r.Header.Get("Origin")) {
					WriteProblem(w, r, errs.Wrap(err, errs.Forbidden, "a page of another origin may not do this"))
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// LoopbackHosts answers requests for this machine's own names only, if on is set.
func LoopbackHosts(on bool) Middleware {
	return func(next http.Handler) http.Handler {
		if !on {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !loopback.Host(r.Host) {
				WriteStatus(w, r, http.StatusMisdirectedRequest, "misdirected_request",
					"this souk answers for localhost and loopback addresses only")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
