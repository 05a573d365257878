// Package permission lists the permissions that contracts ask for, and the roles that have them.
//
// A permission is named THING.VERB. People who run the marketplace have permissions in the whole marketplace: those of
// their roles, which system settings change (access.role.support and so on). Members and API keys have permissions in
// one shop: an owner has all that a shop has, a member of the staff those that an owner gave, a key its scopes.
//
// A contract names the permission of a method (option souk.options.v1.access), package rpc checks those of the
// marketplace, and package membership those of a shop. docs/permissions.md shows which method asks for which.
package permission

import (
	"slices"
	"strings"

	"souk/pkg/errs"
)

// The permissions that code names. Contracts name the others, too.
const (
	AccessManage    = "access.manage"
	ApprovalDecide  = "approval.decide"
	AuditRead       = "audit.read"
	CategoryWrite   = "category.write"
	KeyManage       = "apikey.manage"
	MemberManage    = "member.manage"
	MemberRead      = "member.read"
	ShopRead        = "shop.read"
	ShopWrite       = "shop.write"
	UserErase       = "user.erase"
	UserReadPrivate = "user.read_personal"
)

// Permission is something that a caller may be allowed to do.
type Permission struct {
	Name string
	// Description completes the sentence "who has it may …".
	Description string
	// Scope says who may have it in a shop, beside people who have it in the whole marketplace.
	Scope Scope
}

// Scope says who may have a permission in a shop.
type Scope int

// The scopes. Each includes those above it.
const (
	// Marketplace: none; only people who have it in the whole marketplace.
	Marketplace Scope = iota
	// Owners of the shop alone.
	Owners
	// Staff to which an owner gave it, too.
	Staff
	// Keys of the shop, too.
	Keys
)

// All returns all permissions, sorted by name.
func All() []Permission {
	return []Permission{
		{AccessManage, "choose the permissions of roles, and what needs a second operator", Marketplace},
		{KeyManage, "create, list, rotate and delete the API keys of a shop", Owners},
		{ApprovalDecide, "approve and reject calls of others that need a second operator", Marketplace},
		{AuditRead, "read the audit trail", Marketplace},
		{CategoryWrite, "add categories", Marketplace},
		{"flag.read", "see the feature flags", Marketplace},
		{"flag.write", "change feature flags", Marketplace},
		{MemberManage, "invite members of a shop, change their role and permissions, remove them", Owners},
		{MemberRead, "see the members of a shop", Staff},
		{"notification.read", "see deliveries, texts and suppressed mailboxes", Marketplace},
		{"notification.write", "change texts, suppress mailboxes and lift that", Marketplace},
		{"order.cancel", "cancel orders that were not shipped, which refunds them", Keys},
		{"order.fulfil", "mark orders of a shop as shipped and as delivered", Keys},
		{"order.read", "read orders", Keys},
		{"payment.read", "read payments", Marketplace},
		{"payment.reconcile", "compare payments with the provider's", Marketplace},
		{"product.read", "see products that are not published, their stock and costs, and export them", Keys},
		{"product.write", "create, change, import and delete products", Keys},
		{"review.moderate", "see held reviews, publish and reject reviews", Marketplace},
		{"review.reply", "reply to reviews in the name of a shop", Keys},
		{"sales.read", "read what a shop sold", Keys},
		{"security.manage", "acknowledge security events", Marketplace},
		{"security.read", "see security events, with addresses", Marketplace},
		{"settings.read", "see the system settings and their history", Marketplace},
		{"settings.write", "change system settings", Marketplace},
		{"shop.moderate", "verify and suspend shops", Marketplace},
		{ShopRead, "list all shops and see suspended ones", Staff},
		{ShopWrite, "change the profile of a shop; in the whole marketplace: register shops for others", Staff},
		{"stock.write", "change what is in stock", Keys},
		{UserErase, "erase what is known about a person, for ever", Marketplace},
		{"user.read", "find and see users", Marketplace},
		{UserReadPrivate, "see personal data as it is, where others see it masked", Marketplace},
		{"user.suspend", "suspend and reinstate users, and end their sessions", Marketplace},
		{"voucher.read", "see vouchers", Keys},
		{"voucher.write", "create, change and disable vouchers", Keys},
		{"webhook.read", "see webhooks and their deliveries", Keys},
		{"webhook.write", "create, change, test and delete webhooks, which get all events of the shop", Keys},
	}
}

// Names returns the names of all permissions, sorted.
func Names() []string { return names(Marketplace) }

// OfOwner returns what an owner may do in a shop.
func OfOwner() []string { return names(Owners) }

// OfStaff returns what a member of a shop's staff may be allowed to do. It is also what a member may do to whom no
// owner gave a choice of it.
func OfStaff() []string { return names(Staff) }

// OfKey returns what an API key may be allowed to do in its shop.
func OfKey() []string { return names(Keys) }

// names returns the names of the permissions that have at least the scope.
func names(least Scope) []string {
	var out []string
	for _, p := range All() {
		if p.Scope >= least {
			out = append(out, p.Name)
		}
	}
	return out
}

// Known reports whether there is a permission with the name.
func Known(name string) bool { return slices.Contains(Names(), name) }

// Check returns an error if a name is not among the possible ones, and else the names, sorted and once each. field is
// where the error shows them.
//
// Errors: invalid_argument.
func Check(field string, given, possible []string) ([]string, error) {
	for _, name := range given {
		if !slices.Contains(possible, name) {
			return nil, errs.InvalidField(field, "has %q: it must have permissions of %s", clip(name),
				strings.Join(possible, ", "))
		}
	}
	out := slices.Clone(given)
	slices.Sort(out)
	return slices.Compact(out), nil
}

// clip bounds what an error repeats of a caller's text.
func clip(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
