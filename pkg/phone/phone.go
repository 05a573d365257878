// Package phone checks telephone numbers, and writes them in the form of E.164.
package phone

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Normalize returns a number as a person wrote it in the form of E.164, such as +5511912345678. A number without a
// country's prefix belongs to the country (ISO 3166 alpha-2). An empty number stays empty. Normalize reports false if a
// number of its country cannot have so many digits.
func Normalize(number, countryCode string) (string, bool) {
	if strings.TrimSpace(number) == "" {
		return "", true
	}
	n, err := phonenumbers.Parse(number, countryCode)
	if err != nil || phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE {
		return "", false
	}
	return phonenumbers.Format(n, phonenumbers.E164), true
}
