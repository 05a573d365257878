// Package shop implements the shop service: the rules of a shop, its store, and the RPCs.
package shop

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"souk/pkg/errs"
	"souk/pkg/handle"
	"souk/pkg/id"
	"souk/pkg/permission"
	"souk/pkg/weblink"
)

// Status is the state of a shop, which operators set.
type Status string

// The states of a shop. Whether an unverified shop sells is a setting of the product service. A suspended shop is not
// shown and does not sell; its members fulfil what was ordered.
const (
	Unverified Status = "unverified"
	Active     Status = "active"
	Suspended  Status = "suspended"
)

// Role is what a member is to a shop. Only an owner chooses the members, and what the staff may do.
type Role string

// The roles of members.
const (
	Owner Role = "owner"
	Staff Role = "staff"
)

// Shop sells products.
type Shop struct {
	ID          string
	Handle      string
	Name        string
	Description string
	LogoURL     string
	City        string
	Region      string
	CountryCode string
	Status      Status
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

const (
	// dailyInvitations is the most invitations that a shop's owners send in invitationDay.
	dailyInvitations = 20
	invitationDay    = 24 * time.Hour
)

// Limits bound what users can make the service keep.
type Limits struct {
	// ShopsPerUser is the most shops that a user is a member of.
	ShopsPerUser int
	// Members is the most members and open invitations of a shop.
	Members int
	// Keys is the most API keys of a shop.
	Keys int
	// InvitationTTL is how long an invitation stays open.
	InvitationTTL time.Duration
}

// Invitation asks the person with an e-mail address to become a member of a shop.
type Invitation struct {
	ID       string
	ShopID   string
	ShopName string
	Email    string // in lower case
	Role     Role
	// Permissions are what the person gets; see [Member].
	Permissions []string
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// Member is a user's membership of a shop.
type Member struct {
	ShopID string
	UserID string
	Role   Role
	// Permissions are those that an owner gave to a member of the staff; empty: all that staff may have.
	Permissions []string
	CreatedAt   time.Time
}

// grants returns what a member with a role and permissions may do. Nobody but an owner has permissions of owners,
// whatever is stored.
func grants(role Role, given []string) []string {
	switch {
	case role == Owner:
		return permission.OfOwner()
	case role == Staff && len(given) == 0:
		return permission.OfStaff()
	case role == Staff:
		possible := permission.OfStaff()
		return slices.DeleteFunc(
			slices.Clone(given),
			func(name string) bool { return !slices.Contains(possible, name) },
		)
	}
	return nil
}

// given returns the permissions that an owner gives with a role.
//
// Errors: invalid_argument.
func given(role Role, names []string) ([]string, error) {
	if role == Owner && len(names) > 0 {
		return nil, errs.InvalidField("permissions", "are those of staff: an owner may do everything in the shop")
	}
	return permission.Check("permissions", names, permission.OfStaff())
}

// checkName refuses names that mails of ours would turn into links, or show as something else.
//
// Errors: invalid_argument.
func checkName(name string) error {
	if strings.ContainsFunc(name, weblink.Reorders) {
		return errs.InvalidField("name", "must not contain line breaks or other control characters")
	}
	if weblink.In(name) {
		return errs.InvalidField("name", "must not contain a web address")
	}
	return nil
}

// newShop returns a shop that is not stored yet. If chosen is empty, the handle is made from the name.
//
// Errors: invalid_argument.
func newShop(chosen, name string, now time.Time) (*Shop, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return nil, errs.InvalidField("name", "must not be blank")
	}
	if chosen == "" {
		chosen = handle.Of(name, handle.MaxLen)
	}
	if !handle.Valid(chosen) {
		return nil, errs.InvalidField("handle", "give one of lower-case letters, digits and dashes")
	}
	if id.Valid(id.Shop, chosen) || strings.HasPrefix(chosen, string(id.Shop)+"_") {
		return nil, errs.InvalidField("handle", "must not look like an ID")
	}
	return &Shop{
		ID:        id.New(id.Shop),
		Handle:    chosen,
		Name:      name,
		Status:    Unverified,
		Version:   1,
		CreatedAt: now,
		UpdatedAt: now,
	}, nil
}

// profile is a change of a shop. Nil leaves a field as it is.
type profile struct {
	name, description, logoURL, city, region, countryCode *string
}

// apply makes the changes and reports whether any field has a new value.
//
// Errors: invalid_argument.
func (s *Shop) apply(p profile, now time.Time) (changed bool, err error) {
	if p.name != nil && strings.TrimSpace(*p.name) == "" {
		return false, errs.InvalidField("name", "must not be blank")
	}
	before := *s
	for to, from := range map[*string]*string{
		&s.Name: p.name, &s.Description: p.description, &s.LogoURL: p.logoURL,
		&s.City: p.city, &s.Region: p.region, &s.CountryCode: p.countryCode,
	} {
		if from != nil {
			*to = *from
		}
	}
	if *s == before {
		return false, nil
	}
	s.touch(now)
	return true, nil
}

// setStatus sets the status and reports whether it is new.
func (s *Shop) setStatus(to Status, now time.Time) bool {
	if s.Status == to {
		return false
	}
	s.Status = to
	s.touch(now)
	return true
}

func (s *Shop) touch(now time.Time) {
	s.Version++
	s.UpdatedAt = now
}

// prefixQuery returns a tsquery that matches if every word of text begins a word. It is empty if text has no words.
func prefixQuery(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		words[i] = w + ":*"
	}
	return strings.Join(words, " & ")
}
