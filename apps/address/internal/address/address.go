// Package address implements the address service: the rules of address books, their store, and the RPCs.
package address

import (
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/postal"
	"souk/pkg/weblink"
)

// maxAddresses is the most addresses that a book has. The database holds it, too.
const maxAddresses = 50

// Address is an entry of a user's address book.
type Address struct {
	ID      string
	OwnerID string
	Content
	DefaultShipping bool
	DefaultBilling  bool
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// Content is what an address says. It is stored encrypted.
type Content struct {
	Label       string `json:"label,omitempty"`
	Name        string `json:"name"`
	Line1       string `json:"line1"`
	Line2       string `json:"line2,omitempty"`
	City        string `json:"city"`
	Region      string `json:"region,omitempty"`
	PostalCode  string `json:"postal_code,omitempty"`
	CountryCode string `json:"country_code"`
	Phone       string `json:"phone,omitempty"` // E.164, or empty
}

// Change is a change of an address. Nil leaves a field as it is.
type Change struct {
	Label, Name, Line1, Line2, City, Region, PostalCode, CountryCode, Phone *string
}

// NewAddress returns an address that is not stored yet.
//
// Errors: invalid_argument.
func NewAddress(ownerID string, c Change, now time.Time) (Address, error) {
	a := Address{ID: id.New(id.Address), OwnerID: ownerID, CreatedAt: now}
	_, err := a.Apply(c, now)
	return a, err
}

// Apply makes a change and reports whether a field has a new value. The address must be right by the rules of its
// country.
//
// Errors: invalid_argument.
func (a *Address) Apply(c Change, now time.Time) (changed bool, err error) {
	before := *a
	for _, f := range []struct {
		field *string
		value *string
	}{
		{&a.Label, c.Label}, {&a.Name, c.Name}, {&a.Line1, c.Line1}, {&a.Line2, c.Line2}, {&a.City, c.City},
		{&a.Region, c.Region}, {&a.PostalCode, c.PostalCode}, {&a.CountryCode, c.CountryCode}, {&a.Phone, c.Phone},
	} {
		if f.value != nil {
			*f.field = *f.value
		}
	}
	n, wrong := postal.Normalize(postal.Address{
		Name: a.Name, Line1: a.Line1, Line2: a.Line2, City: a.City, Region: a.Region, PostalCode: a.PostalCode,
		CountryCode: a.CountryCode, Phone: a.Phone,
	})
	a.Name, a.Line1, a.Line2, a.City, a.Region, a.PostalCode = n.Name, n.Line1, n.Line2, n.City, n.Region, n.PostalCode
	a.Phone = n.Phone
	if strings.ContainsFunc(a.Label, weblink.Reorders) {
		wrong = append(
			wrong,
			errs.Field{Path: "label", Message: "must not contain line breaks or other control characters"},
		)
	}
	if len(wrong) > 0 {
		e := errs.New(errs.Invalid, "the address is not complete, or not right")
		e.Fields = wrong
		return false, e
	}
	if *a == before {
		return false, nil
	}
	a.UpdatedAt = now
	return true, nil
}
