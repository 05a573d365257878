package domain

import (
	"net/url"
	"strings"
	"time"
)

// LoginLifetime is the longest time from the start of a sign-in to the provider's answer.
const LoginLifetime = 10 * time.Minute

// maxReturnTo keeps the login cookie below the browsers' limit of 4 KiB.
const maxReturnTo = 1500

// Login is a sign-in in flight. It travels, sealed, in the browser's login cookie.
type Login struct {
	// State comes back from the provider: it proves that the answer belongs to this browser.
	State string `json:"s"`
	// Nonce comes back inside the ID token: it proves that the token belongs to this sign-in.
	Nonce string `json:"n"`
	// Verifier is the PKCE verifier: it proves that the code is exchanged by the party that requested it.
	Verifier string `json:"v"`
	// ReturnTo is a local path.
	ReturnTo    string    `json:"t"`
	RedirectURI string    `json:"r"`
	Expires     time.Time `json:"e"`
}

// LocalPath returns s if it is a path on this host, else "/". A string that a browser could read as another
// host (//host, /\host, a scheme, control characters that it drops) is not a local path.
func LocalPath(s string) string {
	if len(s) > maxReturnTo || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return "/"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' || r == '\uFFFD' }) {
		return "/"
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	return s
}
