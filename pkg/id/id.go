// Package id creates and parses souk's identifiers: a prefix for the kind of resource, followed by a UUIDv7.
//
// Identifiers sort by creation time. They are not secret.
package id

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"souk/pkg/errs"
)

// Prefix is the kind of resource that an identifier names.
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
	// Session identifies a browser's session. It is not the session's secret.
	Session Prefix = "ses"
	// Notice is what happened, Delivery is one message of it to one recipient, and Notification is its entry in
	// a user's inbox.
	Notice   Prefix = "ntc"
	Delivery Prefix = "dlv"
	// Suppression is a mailbox that gets no mails.
	Suppression  Prefix = "sup"
	Notification Prefix = "ntf"
	// Device is where a user gets push messages.
	Device Prefix = "dev"

	Invitation Prefix = "inv"
	// Approval identifies a call that a second operator approves.
	Approval Prefix = "apr"
	// Key identifies an API key. It is not the key's secret.
	Key Prefix = "key"
	// Adjustment is a change of a variant's stock.
	Adjustment Prefix = "adj"
	// Address identifies an entry of an address book.
	Address Prefix = "adr"
	// Review identifies a review of a product.
	Review Prefix = "rev"
	// SecurityEvent identifies something that looks like an attack.
	SecurityEvent Prefix = "sec"
	// Voucher identifies a voucher.
	Voucher Prefix = "vch"
	// Webhook identifies a webhook, and WebhookDelivery an event that is sent to one.
	Webhook         Prefix = "whk"
	WebhookDelivery Prefix = "whd"
)

// New returns a new identifier such as "ord_0198c5f27e6b7c1f8a3d5e9b04c7d21a".
func New(p Prefix) string {
	u := uuid.Must(uuid.NewV7()) // fails only if the system has no randomness
	return Format(p, u)
}

// Format returns the identifier with prefix p and UUID u.
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

// At returns a string that sorts after all identifiers created before t and not after any created at t or later,
// to the millisecond.
func At(p Prefix, t time.Time) string {
	return fmt.Sprintf("%s_%012x", p, max(t.UnixMilli(), 0))
}

// Parse parses an identifier with prefix p.
//
// Errors: not_found (s is malformed, so no such resource exists).
func Parse(p Prefix, s string) (uuid.UUID, error) {
	rest, ok := strings.CutPrefix(s, string(p)+"_")
	if !ok || len(rest) != 32 || strings.ToLower(rest) != rest { // each identifier has exactly one spelling
		return uuid.UUID{}, errs.New(errs.NotFound, "there is no such thing")
	}
	u, err := uuid.Parse(rest)
	if err != nil {
		return uuid.UUID{}, errs.New(errs.NotFound, "there is no such thing")
	}
	return u, nil
}

// Valid reports whether s is an identifier with prefix p.
func Valid(p Prefix, s string) bool {
	_, err := Parse(p, s)
	return err == nil
}
