package main

import (
	"slices"
	"strings"

	"souk/apps/address"
	"souk/apps/audit"
	"souk/apps/auth"
	"souk/apps/cart"
	"souk/apps/comment"
	"souk/apps/gateway"
	"souk/apps/keyring"
	"souk/apps/natsauth"
	"souk/apps/notification"
	"souk/apps/order"
	"souk/apps/payment"
	"souk/apps/product"
	"souk/apps/security"
	"souk/apps/settings"
	"souk/apps/shop"
	"souk/apps/user"
	"souk/apps/voucher"
	"souk/apps/webhook"
	"souk/pkg/errs"
	"souk/pkg/module"
)

// modules returns all services in the order in which they start. The gateway is last.
func modules() []module.Module {
	return []module.Module{
		natsauth.Module, // first: the others connect to NATS through it
		keyring.Module, settings.Module, user.Module, shop.Module, product.Module, cart.Module, payment.Module,
		order.Module, notification.Module, auth.Module, address.Module, voucher.Module, comment.Module, webhook.Module,
		audit.Module, security.Module, gateway.Module,
	}
}

// selectModules returns the modules that target names, in the order in which they start. Target is "all" or names
// separated by commas. Errors: invalid.
func selectModules(target string) ([]module.Module, error) {
	if target == "all" {
		return modules(), nil
	}
	names := strings.Split(target, ",")
	var out []module.Module
	for _, m := range modules() {
		if i := slices.Index(names, m.Name); i >= 0 {
			out = append(out, m)
			names = slices.Delete(names, i, i+1)
		}
	}
	if len(names) > 0 {
		return nil, errs.New(errs.Invalid, "there is no service %q: choose from %s",
			names[0], strings.Join(moduleNames(), ", "))
	}
	return out, nil
}

func moduleNames() []string {
	var names []string
	for _, m := range modules() {
		names = append(names, m.Name)
	}
	return names
}
