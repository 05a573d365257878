// Package explain says to a person what an error means.
package explain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"souk/pkg/errs"
)

// Error returns an error's text for a person: for a failed connection which database can't be opened, for a coded
// error its message and fields, and otherwise the whole error.
func Error(err error) string {
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
