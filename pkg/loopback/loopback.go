// Package loopback keeps pages of other sites from servers that only this machine may reach.
//
// A page of any site can make a browser send requests to a name that its owner has pointed at this machine, and then
// read the answers (DNS rebinding). The name is in the header Host of such a request.
package loopback

import (
	"net/http"
	"net/netip"
	"strings"
)

// Host reports whether host, with or without a port, always means this machine.
func Host(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Only passes on requests for this machine's own names. It answers others with 421.
func Only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Host(r.Host) {
			http.Error(
				w,
				"this server answers for localhost and loopback addresses only",
				http.StatusMisdirectedRequest,
			)
			return
		}
		next.ServeHTTP(w, r)
	})
}
