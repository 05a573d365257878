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

// retryAfter is the retry delay of unavailable errors.
const retryAfter = time.Second

// Err gives an error of pgx its code. Repositories return database errors through it.
//
//   - No rows: not_found.
//   - The database is unreachable, shutting down, full or read-only, or it cancelled the statement (server-side
//     timeout, deadlock): unavailable, with a retry delay of a second.
//   - The caller's context ended: timeout. The outcome is unknown.
//   - Nil, errors that have a code, and all others (a constraint, bad SQL): unchanged.
func Err(err error) error {
	var coded *errs.Error
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return errs.Wrap(err, errs.NotFound, "not found")
	case isDown(err):
		return errs.Wrap(err, errs.Unavailable, "the database is out of reach for the moment").
			WithRetryAfter(retryAfter)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return errs.Wrap(err, errs.Timeout, "the request took too long or was given up")
	default:
		return err
	}
}

// isDown reports whether the server is at fault, not the statement.
func isDown(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return isDownState(pgErr.Code)
	}
	var connectErr *pgconn.ConnectError
	if errors.As(err, &connectErr) {
		// A cancelled context also appears as a failure to connect.
		return !errors.Is(err, context.Canceled)
	}
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return false // the caller's context ended: pgx turns that into a deadline of the connection
	}
	return errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, puddle.ErrClosedPool) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE)
}

func isDownState(state string) bool {
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

// isConflict reports whether err is a serialization failure or a deadlock, so that the transaction may run again.
func isConflict(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "40001" || pgErr.Code == "40P01")
}

// IsUnique reports whether err is a violation of the named primary key, unique constraint or unique index. ""
// means any.
func IsUnique(err error, constraint string) bool { return violates(err, "23505", constraint) }

// IsCheck reports whether err is a violation of the named check constraint. "" means any.
func IsCheck(err error, constraint string) bool { return violates(err, "23514", constraint) }

// IsForeignKey reports whether err is a violation of the named foreign key. "" means any.
func IsForeignKey(err error, constraint string) bool { return violates(err, "23503", constraint) }

func violates(err error, state, constraint string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == state && (constraint == "" || pgErr.ConstraintName == constraint)
}
