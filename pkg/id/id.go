// Package id makes and reads souk's identifiers: a UUIDv7 behind a prefix that says what it names.
//
// An identifier sorts by the time it was made and is never a secret.
package id

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"souk/pkg/errs"
)

// Prefix says what an identifier names.
type Prefix string

// The prefixes of souk.
const (
	Order     Prefix = "ord"
	ShopOrder Prefix = "sho"
	Product   Prefix = "prd"
	Variant   Prefix = "var"
	Category  Prefix = "cat"
	Shop      Prefix = "shp"
	User      Prefix = "usr"
	Guest     Prefix = "gst"
	Payment   Prefix = "pay"
	Event     Prefix = "evt"
	Mail      Prefix = "mail"
)

// New makes an identifier such as "ord_0198c5f27e6b7c1f8a3d5e9b04c7d21a".
func New(p Prefix) string {
	u := uuid.Must(uuid.NewV7()) // fails only when the system has no randomness
	return Format(p, u)
}

// Format shows u behind p.
func Format(p Prefix, u uuid.UUID) string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, len(p)+1+32)
	b = append(b, p...)
	b = append(b, '_')
	for _, c := range u {
		b = append(b, hex[c>>4], hex[c&15])
	}
	return string(b)
}

// At returns what is not after any identifier made at t or later, to the millisecond, and after all made earlier.
func At(p Prefix, t time.Time) string {
	return fmt.Sprintf("%s_%012x", p, max(t.UnixMilli(), 0))
}

// Parse reads an identifier with the prefix p. It fails with errs.NotFound: what has a
// malformed identifier does not exist.
func Parse(p Prefix, s string) (uuid.UUID, error) {
	rest, ok := strings.CutPrefix(s, string(p)+"_")
	if !ok || len(rest) != 32 || strings.ToLower(rest) != rest { // one way to write each
		return uuid.UUID{}, errs.New(errs.NotFound, "there is no such thing")
	}
	u, err := uuid.Parse(rest)
	if err != nil {
		return uuid.UUID{}, errs.New(errs.NotFound, "there is no such thing")
	}
	return u, nil
}

// Valid reports whether s is an identifier with the prefix p.
func Valid(p Prefix, s string) bool {
	_, err := Parse(p, s)
	return err == nil
}
