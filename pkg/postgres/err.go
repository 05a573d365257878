package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"souk/pkg/errs"
)

// retryAfter is what callers are told who find the database out of reach.
const retryAfter = time.Second

// Err gives an error of pgx its code. Repositories pass what they get through it.
//
//   - no rows: not_found
//   - the database cannot be reached, goes down, is full, is read-only, broke off the statement (a
//     timeout of the server, a lost deadlock): unavailable, to be tried again in a second
//   - the caller's context ended: timeout, for nobody knows what was done
//   - nil, an error that already has a code, and all else (a constraint, bad SQL): unchanged
func Err(err error) error {
	var coded *errs.Error
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return errs.Wrap(err, errs.NotFound, "not found")
	case down(err):
		return errs.Wrap(err, errs.Unavailable, "the database is out of reach for the moment").WithRetryAfter(retryAfter)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return errs.Wrap(err, errs.Timeout, "the request took too long or was given up")
	default:
		return err
	}
}

// down reports whether the server, not the statement, is at fault.
func down(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return downState(pgErr.Code)
	}
	var connectErr *pgconn.ConnectError
	if errors.As(err, &connectErr) {
		// The caller's own end shows as a failure to connect, too.
		return !errors.Is(err, context.Canceled)
	}
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return false // of the caller's context: pgx turns its end into a deadline of the connection
	}
	return errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, puddle.ErrClosedPool) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE)
}

func downState(state string) bool {
	if len(state) != 5 {
		return false
	}
	switch state[:2] {
	case "08", // connection
		"53", // resources: connections, memory, disk
		"58": // input and output
		return true
	}
	switch state {
	case "25006", // read_only_sql_transaction: this server is no longer the primary
		"25P03",          // idle_in_transaction_session_timeout
		"40001", "40P01", // serialization_failure, deadlock_detected
		"55P03",                            // lock_not_available
		"57014",                            // query_canceled: statement_timeout
		"57P01", "57P02", "57P03", "57P05": // shutdown, crash, starting up, idle session
		return true
	}
	return false
}

// lost reports whether PostgreSQL broke off a transaction in favour of another; it may simply run again.
func lost(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "40001" || pgErr.Code == "40P01")
}

// IsUnique reports whether err is a violation of the unique or primary key constraint (or unique index);
// "" stands for any.
func IsUnique(err error, constraint string) bool { return violates(err, "23505", constraint) }

// IsCheck reports whether err is a violation of the check constraint; "" stands for any.
func IsCheck(err error, constraint string) bool { return violates(err, "23514", constraint) }

// IsForeignKey reports whether err is a violation of the foreign key; "" stands for any.
func IsForeignKey(err error, constraint string) bool { return violates(err, "23503", constraint) }

func violates(err error, state, constraint string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == state && (constraint == "" || pgErr.ConstraintName == constraint)
}
