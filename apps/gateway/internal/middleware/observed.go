package middleware

import (
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"souk/pkg/apikey"
	"souk/pkg/errs"
)

// Observer takes what looks like an attack, and where users are. Its methods return at once.
type Observer interface {
	// Observe notes that something of a kind was observed n times about a subject.
	Observe(kind, subject string, n int)
	// See notes the country from which a user sent a request.
	See(userID, country string)
}

// The kinds of observations, by the names of the security service.
const (
	observedSignIn     = "failed_sign_ins"
	observedPermission = "refused_permissions"
	observedLimit      = "rate_limits"
	observedWebhook    = "webhook_forgeries"
	observedCard       = "card_testing"
	observedKey        = "api_key_misuse"
	observedFirewall   = "firewall_refusals"
	observedVoucher    = "voucher_guesses"
)

// PaymentWebhooks and SignInCallback are routes that no contract describes, whose refusals mean something.
const (
	PaymentWebhooks = "/v1/webhooks/payments/{provider}"
	SignInCallback  = "/auth/callback"
)

// Observe gives an observer what was refused, and from which country users send requests, if countryHeader names a
// header in which a trusted proxy says so. The subject of a refusal is the signed-in user or the API key, or the network
// of the address of all others, including guests.
func Observe(o Observer, trusted []netip.Prefix, countryHeader string) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			x := From(r.Context())
			if kind := x.observed(r); kind != "" {
				o.Observe(kind, x.subject(r, trusted), 1)
			}
			if x.UnknownVouchers > 0 {
				o.Observe(observedVoucher, x.subject(r, trusted), x.UnknownVouchers)
			}
			if countryHeader != "" && x.Actor.IsUser() {
				if country := countryOf(r, trusted, countryHeader); country != "" {
					o.See(x.Actor.ID, country)
				}
			}
		})
	}
}

// observed returns what the refusal of a request is; "" if it is nothing unusual, or the request was not refused.
func (x *Exchange) observed(r *http.Request) string {
	switch errs.Code(x.Code) {
	case errs.Unauthenticated, errs.LockedOut, errs.AccountSuspended:
		switch {
		case x.Route == PaymentWebhooks:
			return observedWebhook
		case claimsKey(r):
			return observedKey
		case r.Header.Get("Authorization") != "" && x.Actor.ID == "", x.Route == SignInCallback:
			return observedSignIn // else a guest, or somebody who sent no credential, asks for what needs a user
		}
	case errs.Forbidden:
		switch {
		case x.Actor.IsKey() || claimsKey(r):
			return observedKey
		case x.Method != "": // the contract's access or the service refused it, not the check of its origin
			return observedPermission
		}
	case errs.RateLimited:
		return observedLimit
	case errs.CardNumberRefused, errs.PaymentDeclined:
		return observedCard
	case errs.RequestRefused:
		return observedFirewall
	}
	return ""
}

func (x *Exchange) subject(r *http.Request, trusted []netip.Prefix) string {
	switch {
	case x.Actor.IsUser() || x.Actor.IsKey():
		return x.Actor.ID
	case x.refused.IsKey():
		return x.refused.ID
	default:
		return Network(ClientAddress(r, trusted))
	}
}

// NoteVoucher notes why a voucher code of the request was rejected.
func (x *Exchange) NoteVoucher(reason string) {
	if reason == "unknown" {
		x.UnknownVouchers++
	}
}

// claimsKey reports whether the request has a credential that is meant to be an API key.
func claimsKey(r *http.Request) bool {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return apikey.Claims(strings.TrimSpace(token))
}

var (
	countryCode = regexp.MustCompile(`^[A-Z]{2}$`)
	// unknownCountry is what CDNs send if they do not know.
	unknownCountry = "XX"
)

// countryOf returns the country that a trusted proxy names; "" if none does.
func countryOf(r *http.Request, trusted []netip.Prefix, header string) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !within(host, trusted) {
		return ""
	}
	if c := r.Header.Get(header); c != unknownCountry && countryCode.MatchString(c) {
		return c
	}
	return ""
}
