package permission

import (
	"slices"
)

// The roles of the sign-in provider. Customers and sellers have no permissions in the marketplace: what sellers may do
// is decided by their shops.
const (
	RoleCustomer = "customer"
	RoleSeller   = "seller"
	RoleSupport  = "support"
	RoleOperator = "operator"
	RoleAuditor  = "auditor"
	RoleAdmin    = "admin"
)

// Roles returns the roles that the sign-in provider may give.
func Roles() []string {
	return []string{RoleCustomer, RoleSeller, RoleSupport, RoleOperator, RoleAuditor, RoleAdmin}
}

// Adjustable returns the roles whose permissions a system setting has. An admin has all permissions, always, so that
// people cannot lock themselves out.
func Adjustable() []string { return []string{RoleSupport, RoleOperator, RoleAuditor} }

// Privileged reports whether a role gives permissions in the marketplace.
func Privileged(role string) bool { return role == RoleAdmin || slices.Contains(Adjustable(), role) }

// Default returns the permissions of a role if no setting says otherwise.
func Default(role string) []string {
	switch role {
	case RoleAdmin:
		return Names()
	case RoleOperator: // all but the choice of who may do what, the record of what operators did, and what is for ever
		return slices.DeleteFunc(Names(), func(name string) bool {
			return name == AccessManage || name == AuditRead || name == UserErase
		})
	case RoleSupport:
		return []string{
			"member.read",
			"notification.read",
			"order.read",
			"payment.read",
			"product.read",
			"sales.read",
			"settings.read",
			"shop.read",
			"user.read",
			"voucher.read",
			"webhook.read",
		}
	case RoleAuditor:
		return []string{"audit.read", "flag.read", "order.read", "payment.read", "security.read", "settings.read"}
	}
	return nil
}

// Sets are the permissions of roles. The zero value gives every role its default.
type Sets map[string][]string

// Of returns what the roles allow in the whole marketplace, sorted. The result is shared if only one role allows
// anything, and must not be modified.
func (s Sets) Of(roles []string) []string {
	var out []string
	merged := false
	for _, role := range roles {
		add := s.role(role)
		if len(add) == 0 {
			continue
		}
		if out == nil {
			out = add
			continue
		}
		out, merged = append(slices.Clip(out), add...), true
	}
	if merged {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

func (s Sets) role(role string) []string {
	if set, ok := s[role]; ok && role != RoleAdmin {
		return set
	}
	return Default(role)
}
