// Package domain holds the rules of signing in, without any I/O.
package domain

import (
	"errors"
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/permission"
)

// RolesClaimZitadel is the claim with a project's roles in Zitadel's tokens, an object keyed by role.
const RolesClaimZitadel = "urn:zitadel:iam:org:project:roles"

// Person is what the sign-in provider says about a user.
type Person struct {
	Issuer, Subject string
	Email           string
	EmailVerified   bool
	Name            string
	// IssuedAt is when the provider said it; zero: unknown.
	IssuedAt time.Time
	// Roles are souk's roles; customer is always among them. Being a member of a shop is not a role: the shop service
	// knows the members.
	Roles []string
	// RolesKnown reports whether the provider said anything about roles.
	RolesKnown bool
	// AuthTime is when the person last entered credentials at the provider; zero: the provider did not say it.
	AuthTime time.Time
}

// Complete fills the unset fields of p from o, which is about the same person.
func (p *Person) Complete(o Person) {
	if p.Email == "" {
		p.Email, p.EmailVerified, p.IssuedAt = o.Email, o.EmailVerified, o.IssuedAt
	}
	if p.Name == "" {
		p.Name = o.Name
	}
	if !p.RolesKnown && o.RolesKnown {
		p.Roles, p.RolesKnown = o.Roles, o.RolesKnown
	}
}

// Access is a valid access token: its owner and its end.
type Access struct {
	Person
	Expires time.Time
}

// Key is what an API key may do, and from where.
type Key struct {
	ShopID      string
	Permissions []string
	// Addresses are the networks from which it may be used; empty: all.
	Addresses []string
	// RatePerMinute is how many requests it may send; 0: as many as a user.
	RatePerMinute int
}

// Actor is the user, guest or API key that a credential names.
type Actor struct {
	// Guest is true for "gst_…".
	Guest bool
	// Key is set for "key_…".
	Key   *Key
	ID    string
	Roles []string
	// SessionID is "ses_…" if the credential is a session.
	SessionID string
	// RecentUntil is until when a user's sign-in is a recent one; zero: it is none.
	RecentUntil time.Time
	// ReusableUntil is until when the answer may be kept; zero: it may not be kept.
	ReusableUntil time.Time
}

// ErrExpired is the cause of the error about an access token that has expired.
var ErrExpired = errors.New("the token has expired")

// Suspended returns the error with which a suspended user is refused.
func Suspended() error {
	return errs.New(errs.AccountSuspended, "this account is suspended: ask the marketplace why")
}

// Roles reads roles from a token's claims: an array of names, a text with names, or an object keyed by name.
// It reads the configured claim and Zitadel's. Names that are not roles of souk are dropped; everybody is a
// customer. known is false if both claims are missing.
func Roles(claims map[string]any, claim string) (roles []string, known bool) {
	has := map[string]bool{permission.RoleCustomer: true}
	for _, c := range []string{claim, RolesClaimZitadel} {
		v, ok := claims[c]
		if !ok {
			continue
		}
		known = true
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				if s, ok := e.(string); ok {
					has[s] = true
				}
			}
		case string:
			for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' }) {
				has[s] = true
			}
		case map[string]any:
			for s := range v {
				has[s] = true
			}
		}
	}
	for _, r := range permission.Roles() {
		if has[r] {
			roles = append(roles, r)
		}
	}
	return roles, known
}
