// Package domain holds what signing in means, without any I/O.
package domain

import (
	"strings"
	"time"
)

// The roles of souk. Who works for a shop is not a role: the shop service knows.
const (
	RoleCustomer = "customer"
	RoleSeller   = "seller"
	RoleOperator = "operator"
)

// RolesClaimZitadel is the claim in which Zitadel sends a project's roles, as an object keyed by role.
const RolesClaimZitadel = "urn:zitadel:iam:org:project:roles"

// Person is what the sign-in provider says about somebody.
type Person struct {
	Issuer, Subject string
	Email           string
	EmailVerified   bool
	Name            string
	// Roles are souk's, always with customer among them.
	Roles []string
	// RolesKnown is whether the provider said anything about roles.
	RolesKnown bool
}

// Complete fills in what p lacks from what the provider says about the same person elsewhere.
func (p *Person) Complete(o Person) {
	if p.Email == "" {
		p.Email, p.EmailVerified = o.Email, o.EmailVerified
	}
	if p.Name == "" {
		p.Name = o.Name
	}
	if !p.RolesKnown && o.RolesKnown {
		p.Roles, p.RolesKnown = o.Roles, o.RolesKnown
	}
}

// Access is a valid access token: whose it is, and how long.
type Access struct {
	Person
	Expires time.Time
}

// Actor is whom a credential names.
type Actor struct {
	// Guest is true for "gst_…", false for "usr_…".
	Guest bool
	ID    string
	Roles []string
	// ReusableUntil is how long the answer may be kept; zero: not at all.
	ReusableUntil time.Time
}

// Roles reads roles out of the claims of a token: an array of names, a text with names, or an object keyed
// by name. The configured claim counts, and Zitadel's. What is no role of souk is left out; everybody is a
// customer. known is false when neither claim is there.
func Roles(claims map[string]any, claim string) (roles []string, known bool) {
	has := map[string]bool{RoleCustomer: true}
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
	for _, r := range []string{RoleCustomer, RoleSeller, RoleOperator} {
		if has[r] {
			roles = append(roles, r)
		}
	}
	return roles, known
}
