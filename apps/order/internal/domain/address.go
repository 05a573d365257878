package domain

import (
	"strings"

	"souk/pkg/errs"
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

// Validate checks that required fields are present and that the country code exists. The error names the paths of
// all invalid fields.
//
// Errors: invalid_argument.
func (a Address) Validate() error {
	var fields []errs.Field
	for _, f := range []struct{ path, value string }{
		{"name", a.Name}, {"line1", a.Line1}, {"city", a.City}, {"postalCode", a.PostalCode},
	} {
		if strings.TrimSpace(f.value) == "" {
			fields = append(fields, errs.Field{Path: "shippingAddress." + f.path, Message: "is required"})
		}
	}
	if len(a.CountryCode) != 2 || !strings.Contains(countries, " "+a.CountryCode+" ") {
		fields = append(
			fields,
			errs.Field{Path: "shippingAddress.countryCode", Message: "must be an ISO 3166 alpha-2 code such as \"BR\""},
		)
	}
	if len(fields) == 0 {
		return nil
	}
	e := errs.New(errs.Invalid, "the shipping address is not complete, or not right")
	e.Fields = fields
	return e
}

// countries are the officially assigned codes of ISO 3166-1 alpha-2.
const countries = " AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW "
