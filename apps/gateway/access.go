package gateway

import (
	"souk/pkg/permission"
	"souk/pkg/setting"
)

// permissionsOf returns a function that returns what roles allow in the whole marketplace, by the system settings as
// they are now. Until they are read, only admins have permissions: a default could be more than what is set.
func permissionsOf(settings *setting.Client) func(roles []string) []string {
	sets := setting.Derive(settings, func(v setting.Values) permission.Sets {
		out := permission.Sets{}
		for role, s := range setting.AccessRoles() {
			out[role] = s.Of(v)
		}
		return out
	})
	none := permission.Sets{}
	for _, role := range permission.Adjustable() {
		none[role] = nil
	}
	return func(roles []string) []string {
		if !settings.Loaded() {
			return none.Of(roles)
		}
		return sets.Load().Of(roles)
	}
}
