// Package user implements the user service: the rules of a profile, the store of users, and the RPCs.
package user

import (
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that time zones do not depend on the host
	"unicode/utf8"

	"golang.org/x/text/language"

	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/money"
	"souk/pkg/permission"
	"souk/pkg/weblink"
)

const (
	maxName  = 200 // runes
	maxEmail = 320 // bytes, RFC 3696
)

// User is a person with an account.
type User struct {
	ID string `json:"id"`
	// Issuer and Subject are the sign-in identity.
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	// Email is unset if the provider does not give one.
	Email         string `json:"email,omitempty"`
	EmailVerified bool   `json:"emailVerified,omitempty"`
	// FormerEmail is the address before the last change; unset if there was none. Of changes within keepFormer it is
	// the address before the first: an attacker cannot hide a change from the account's owner by a second one.
	FormerEmail         string    `json:"formerEmail,omitempty"`
	FormerEmailVerified bool      `json:"formerEmailVerified,omitempty"`
	FormerEmailAt       time.Time `json:"formerEmailAt,omitzero"`
	// Name is OwnName if that is set, else ProviderName.
	Name         string `json:"name,omitempty"`
	OwnName      string `json:"ownName,omitempty"`
	ProviderName string `json:"providerName,omitempty"`
	// IdentityAt is when the provider said what the last change of e-mail address or name was made of.
	IdentityAt time.Time `json:"identityAt,omitzero"`
	// AdminAt is when the provider last said that the user is an admin, to a day; zero: it never did.
	AdminAt time.Time `json:"adminAt,omitzero"`
	// SuspendedAt is when the user was suspended, and SuspendedFor the reason; zero: the user is not suspended.
	SuspendedAt  time.Time   `json:"suspendedAt,omitzero"`
	SuspendedFor string      `json:"suspendedFor,omitempty"`
	Phone        string      `json:"phone,omitempty"`
	Preferences  Preferences `json:"preferences"`
	CreatedAt    time.Time   `json:"createdAt"`
	UpdatedAt    time.Time   `json:"updatedAt"`
}

// Preferences are a user's choices. An empty field is unset.
type Preferences struct {
	Locale         string `json:"locale,omitempty"`
	Currency       string `json:"currency,omitempty"`
	TimeZone       string `json:"timeZone,omitempty"`
	MarketingEmail bool   `json:"marketingEmail,omitempty"`
}

// Identity is what the sign-in provider says about a person.
type Identity struct {
	Issuer, Subject string
	Email           string
	EmailVerified   bool
	Name            string
	// IssuedAt is when it said so.
	IssuedAt time.Time
	// Admin is set if the person has the role.
	Admin bool
}

// Change is a change of a profile by its user. Nil leaves a field as it is.
type Change struct {
	Name, Phone                *string
	Locale, Currency, TimeZone *string
	MarketingEmail             *bool
}

// applyIdentity updates the fields that the provider decides. Missing and invalid values change nothing,
// because they could not be corrected here. Nor does what the provider said before the last change: an access token
// holds an address for as long as it is valid.
func (u *User) applyIdentity(i Identity, now time.Time) {
	if i.Admin && now.Sub(u.AdminAt) > adminEvery {
		u.AdminAt = now
	}
	if i.IssuedAt.Before(u.IdentityAt) {
		return
	}
	before := *u
	if email := strings.TrimSpace(i.Email); email != "" && len(email) <= maxEmail && printable(email) {
		if otherMailbox(u.Email, email) && (u.FormerEmail == "" || now.Sub(u.FormerEmailAt) > keepFormer) {
			u.FormerEmail, u.FormerEmailVerified, u.FormerEmailAt = u.Email, u.EmailVerified, now
		}
		u.Email, u.EmailVerified = email, i.EmailVerified
	}
	if name := strings.TrimSpace(i.Name); name != "" && printable(name) && !weblink.In(name) {
		u.ProviderName = firstRunes(name, maxName)
	}
	u.rename()
	if *u != before {
		u.IdentityAt = i.IssuedAt
	}
}

const (
	// adminEvery is the shortest time between two writes of AdminAt.
	adminEvery = 24 * time.Hour
	// adminFor is how long after the provider last said so a user counts as an admin: not every token has all roles.
	adminFor = 90 * 24 * time.Hour
)

// suspend keeps the user out. by is the caller. The first reason stays.
//
// Errors: forbidden.
func (u *User) suspend(by identity.Actor, reason string, now time.Time) error {
	if by.ID == u.ID {
		return errs.New(errs.Forbidden, "another person must suspend you")
	}
	if u.isAdmin(now) && !slices.Contains(by.Roles, permission.RoleAdmin) {
		return errs.New(errs.Forbidden, "only an admin can suspend an admin")
	}
	if u.SuspendedAt.IsZero() {
		u.SuspendedAt, u.SuspendedFor = now, strings.TrimSpace(reason)
	}
	return nil
}

// isAdmin reports whether the provider has said lately that the user is an admin.
func (u *User) isAdmin(now time.Time) bool {
	return !u.AdminAt.IsZero() && now.Sub(u.AdminAt) < adminFor
}

// keepFormer is longer than a notice about a changed address may wait.
const keepFormer = 7 * 24 * time.Hour

// otherMailbox reports whether an address has changed by more than its case.
func otherMailbox(before, after string) bool {
	return before != "" && !strings.EqualFold(before, after)
}

// apply makes the user's own change.
//
// Errors: invalid_argument.
func (u *User) apply(c Change) error {
	if c.Name != nil {
		name := strings.TrimSpace(*c.Name)
		if !printable(name) || utf8.RuneCountInString(name) > maxName {
			return errs.InvalidField("name", "must be at most %d characters on one line", maxName)
		}
		if weblink.In(name) {
			return errs.InvalidField("name", "must not contain a web address")
		}
		u.OwnName = name
		u.rename()
	}
	if c.Phone != nil {
		u.Phone = strings.TrimSpace(*c.Phone)
	}
	p := &u.Preferences
	if c.Locale != nil {
		p.Locale = ""
		if *c.Locale != "" {
			tag, err := language.Parse(*c.Locale)
			if err != nil {
				return errs.InvalidField("preferences.locale", "must be a language such as pt-BR")
			}
			p.Locale = tag.String()
		}
	}
	if c.Currency != nil {
		if *c.Currency != "" {
			if _, err := money.ParseCurrency(*c.Currency); err != nil {
				return errs.InvalidField("preferences.currencyCode", "must be an ISO 4217 currency such as BRL")
			}
		}
		p.Currency = *c.Currency
	}
	if c.TimeZone != nil {
		if *c.TimeZone != "" {
			if _, err := time.LoadLocation(*c.TimeZone); err != nil || *c.TimeZone == "Local" {
				return errs.InvalidField("preferences.timeZone", "must be an IANA time zone such as America/Sao_Paulo")
			}
		}
		p.TimeZone = *c.TimeZone
	}
	if c.MarketingEmail != nil {
		p.MarketingEmail = *c.MarketingEmail
	}
	return nil
}

func (u *User) rename() {
	u.Name = u.ProviderName
	if u.OwnName != "" {
		u.Name = u.OwnName
	}
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, weblink.Reorders)
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
