package domain

import (
	"souk/pkg/errs"
	"souk/pkg/postal"
)

// Address is a shipping address.
type Address struct {
	Name        string `json:"name"`
	Line1       string `json:"line1"`
	Line2       string `json:"line2,omitempty"`
	City        string `json:"city"`
	Region      string `json:"region,omitempty"`
	PostalCode  string `json:"postal_code"`
	CountryCode string `json:"country_code"`
	Phone       string `json:"phone,omitempty"`
}

// Normalize returns the address in the form that is kept. The error names the paths of all parts that are wrong by the
// rules of the country.
//
// Errors: invalid_argument.
func (a Address) Normalize() (Address, error) {
	n, wrong := postal.Normalize(postal.Address{
		Name: a.Name, Line1: a.Line1, Line2: a.Line2, City: a.City, Region: a.Region, PostalCode: a.PostalCode,
		CountryCode: a.CountryCode, Phone: a.Phone,
	})
	if len(wrong) > 0 {
		e := errs.New(errs.Invalid, "the shipping address is not complete, or not right")
		for _, f := range wrong {
			e.Fields = append(e.Fields, errs.Field{Path: "shippingAddress." + f.Path, Message: f.Message})
		}
		return a, e
	}
	return Address{
		Name: n.Name, Line1: n.Line1, Line2: n.Line2, City: n.City, Region: n.Region, PostalCode: n.PostalCode,
		CountryCode: n.CountryCode, Phone: n.Phone,
	}, nil
}
