package domain

import (
	"net/url"
	"strings"
	"time"

	"souk/pkg/errs"
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
	// MaxAge is how many seconds ago the user may have entered credentials at the provider; 0: any number. Again: the
	// user enters them in this sign-in.
	MaxAge int64 `json:"a,omitempty"`
	Again  bool  `json:"p,omitempty"`
}

// clockSkew is the largest difference between the provider's clock and ours.
const clockSkew = 30 * time.Second

// Check returns an error if the user entered credentials too long ago for this sign-in: a provider may not support the
// parameters that ask for it, and a browser may remove them.
//
// Errors: sign_in_again.
func (l Login) Check(authTime time.Time) error {
	oldest := l.Expires.Add(-LoginLifetime) // when it began
	switch {
	case l.Again:
	case l.MaxAge > 0:
		oldest = oldest.Add(-time.Duration(l.MaxAge) * time.Second)
	default:
		return nil
	}
	if authTime.Before(oldest.Add(-clockSkew)) {
		return errs.New(
			errs.SignInAgain,
			"the sign-in provider has not asked for a new sign-in: begin again at /auth/login",
		)
	}
	return nil
}

// RecentUntil returns until when a sign-in is a recent one, if it is one for recent (0: for ever) and the user entered
// credentials at authTime. It returns the zero time if that is unknown, or later than now.
func RecentUntil(authTime, now time.Time, recent time.Duration) time.Time {
	switch {
	case recent == 0:
		return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	case authTime.IsZero(), authTime.After(now.Add(clockSkew)):
		return time.Time{}
	default:
		return authTime.Add(recent)
	}
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
