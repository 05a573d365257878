package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"souk/apps/auth"
	"souk/apps/cart"
	"souk/apps/gateway"
	"souk/apps/notification"
	"souk/apps/order"
	"souk/apps/payment"
	"souk/apps/product"
	"souk/apps/shop"
	"souk/apps/user"
	"souk/pkg/errs"
	"souk/pkg/module"
)

// modules returns all services in the order in which they start. The gateway is last.
func modules() []module.Module {
	return []module.Module{
		user.Module, shop.Module, product.Module, cart.Module, payment.Module, order.Module,
		notification.Module, auth.Module, gateway.Module,
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

// sections returns the names of all configuration sections, those of every service included.
func sections() []string { return append(module.Sections(), moduleNames()...) }

// withDatabase returns the modules that have a database.
func withDatabase() []module.Module {
	return slices.DeleteFunc(modules(), func(m module.Module) bool { return len(m.Sets()) == 0 })
}

// message returns an error's text for a person: for a failed connection which database can't be opened, for a coded
// error its message and fields, and otherwise the whole error.
func message(err error) string {
	var database *pgconn.ConnectError
	if errors.As(err, &database) && !errors.Is(err, context.Canceled) {
		return databaseUnreachable(database)
	}
	e := errs.From(err)
	if e.Code == errs.Internal {
		return err.Error()
	}
	text := e.Message
	for _, f := range e.Fields {
		if !strings.Contains(text, f.Message) {
			text += fmt.Sprintf("\n  %s: %s", f.Path, f.Message)
		}
	}
	return text
}

// databaseUnreachable says which database could not be opened, why, and what to do. It shows no password.
func databaseUnreachable(e *pgconn.ConnectError) string {
	reason := e.Unwrap().Error()
	var refused *pgconn.PgError
	var number syscall.Errno
	switch {
	case errors.As(e, &refused):
		reason = refused.Message
	case errors.As(e, &number):
		reason = number.Error()
	case pgconn.Timeout(e):
		reason = "no answer in time"
	}
	address := net.JoinHostPort(e.Config.Host, strconv.Itoa(int(e.Config.Port)))
	if strings.HasPrefix(e.Config.Host, "/") {
		address = fmt.Sprintf("%s/.s.PGSQL.%d", e.Config.Host, e.Config.Port)
	}
	return fmt.Sprintf("the database %q at %s can't be opened: %s; see that PostgreSQL runs there, "+
		"and that postgres.url (or postgres.urls) of the configuration is right", e.Config.Database, address, reason)
}
