package errs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"souk/pkg/errs"
)

// published maps each code to its HTTP status. Clients rely on it.
var published = map[errs.Code]int{
	errs.Invalid:             http.StatusBadRequest,
	errs.Unauthenticated:     http.StatusUnauthorized,
	errs.PaymentDeclined:     http.StatusPaymentRequired,
	errs.Forbidden:           http.StatusForbidden,
	errs.SignInAgain:         http.StatusUnauthorized,
	errs.AccountSuspended:    http.StatusForbidden,
	errs.LockedOut:           http.StatusTooManyRequests,
	errs.ApprovalRequired:    http.StatusForbidden,
	errs.NotFound:            http.StatusNotFound,
	errs.Conflict:            http.StatusConflict,
	errs.AlreadyExists:       http.StatusConflict,
	errs.OutOfStock:          http.StatusConflict,
	errs.IdempotencyInFlight: http.StatusConflict,
	errs.PreconditionFailed:  http.StatusPreconditionFailed,
	errs.TooLarge:            http.StatusRequestEntityTooLarge,
	errs.IdempotencyMismatch: http.StatusUnprocessableEntity,
	errs.VoucherInvalid:      http.StatusUnprocessableEntity,
	errs.CartEmpty:           http.StatusUnprocessableEntity,
	errs.CardNumberRefused:   http.StatusUnprocessableEntity,
	errs.Unprocessable:       http.StatusUnprocessableEntity,
	errs.RateLimited:         http.StatusTooManyRequests,
	errs.Internal:            http.StatusInternalServerError,
	errs.Unimplemented:       http.StatusNotImplemented,
	errs.Overloaded:          http.StatusServiceUnavailable,
	errs.Unavailable:         http.StatusServiceUnavailable,
	errs.Timeout:             http.StatusServiceUnavailable,
}

func TestCodesKeepTheirHTTPStatus(t *testing.T) {
	t.Parallel()
	for code, want := range published {
		require.Equal(t, want, code.HTTPStatus(), code)
	}
	require.Equal(t, http.StatusInternalServerError, errs.Code("made_up").HTTPStatus())
}

func TestStatusRoundTripKeepsTheError(t *testing.T) {
	t.Parallel()
	all := make([]errs.Code, 0, len(published))
	for code := range published {
		all = append(all, code)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := &errs.Error{
			Code:       rapid.SampledFrom(all).Draw(t, "code"),
			Message:    rapid.String().Draw(t, "message"),
			RetryAfter: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "retry after")),
		}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			want.Fields = append(want.Fields,
				errs.Field{Path: rapid.String().Draw(t, "path"), Message: rapid.String().Draw(t, "field")})
		}
		b, err := proto.Marshal(errs.ToStatus(fmt.Errorf("wrapped: %w", want)).Proto())
		require.NoError(t, err)
		back := status.New(codes.OK, "").Proto()
		require.NoError(t, proto.Unmarshal(b, back))
		require.Equal(t, want, errs.FromStatus(status.FromProto(back)))
	})
}

func TestInvalidUTF8IsReplaced(t *testing.T) {
	t.Parallel()
	s := errs.ToStatus(
		&errs.Error{Code: errs.Invalid, Message: "got \xff", Fields: []errs.Field{{Path: "\xfe", Message: "\xfd"}}},
	)
	_, err := proto.Marshal(s.Proto())
	require.NoError(t, err)
	require.Equal(t, "got \uFFFD", errs.FromStatus(s).Message)
}

func TestStatusDoesNotContainTheCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("password=hunter2")
	for _, err := range []error{cause, errs.Wrap(cause, errs.Unavailable, "the database is away")} {
		require.ErrorIs(t, errs.From(err), cause)
		require.NotContains(t, errs.ToStatus(err).String(), "hunter2")
		require.NotContains(t, errs.From(err).Message, "hunter2")
	}
}

func TestFromKeepsOrAssignsTheCode(t *testing.T) {
	t.Parallel()
	require.Nil(t, errs.From(nil))
	require.Nil(t, errs.FromStatus(nil))
	require.Nil(t, errs.FromStatus(status.New(codes.OK, "")))
	require.Equal(t, codes.OK, errs.ToStatus(nil).Code())
	require.Equal(t, errs.Code(""), errs.CodeOf(nil))
	require.False(t, errs.Is(nil, ""))
	for code, err := range map[errs.Code]error{
		errs.Internal: errors.New("boom"),
		errs.NotFound: fmt.Errorf("a: %w", fmt.Errorf("b: %w", errs.New(errs.NotFound, "no"))),
		errs.Timeout:  fmt.Errorf("query: %w", context.DeadlineExceeded),
	} {
		require.Equal(t, code, errs.CodeOf(err))
		require.True(t, errs.Is(err, code))
	}
	require.Equal(t, errs.Timeout, errs.CodeOf(context.Canceled))
}

func TestStatusesOfOtherProgramsGetACode(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]errs.Code{
		codes.NotFound: errs.NotFound, codes.Unavailable: errs.Unavailable, codes.DataLoss: errs.Internal,
		codes.ResourceExhausted: errs.Overloaded, codes.Canceled: errs.Timeout, codes.Unknown: errs.Internal,
	} {
		require.Equal(t, want, errs.FromStatus(status.New(code, "m")).Code, code)
	}
	require.Equal(t, time.Second, errs.FromStatus(status.New(codes.Unavailable, "m")).RetryAfter)
}

func TestOutcomeUnknownByCode(t *testing.T) {
	t.Parallel()
	for code := range published {
		want := code == errs.Unavailable || code == errs.Timeout || code == errs.Internal || code == errs.Overloaded ||
			code == errs.RateLimited
		require.Equal(t, want, errs.OutcomeUnknown(errs.New(code, "m")), code)
	}
	require.False(t, errs.OutcomeUnknown(nil))
}

func TestWithRetryAfterReturnsACopy(t *testing.T) {
	t.Parallel()
	e := errs.New(errs.RateLimited, "slow down")
	require.Equal(t, time.Minute, e.WithRetryAfter(time.Minute).RetryAfter)
	require.Zero(t, e.RetryAfter)
}

func ExampleInvalidField() {
	err := errs.InvalidField("items[0].quantity", "must be at least %d", 1)
	fmt.Println(err.Code.HTTPStatus(), err.Fields[0].Path, err.Fields[0].Message)
	// Output: 400 items[0].quantity must be at least 1
}

func ExampleWrap() {
	cause := errors.New("connection refused")
	err := fmt.Errorf("load order: %w", errs.Wrap(cause, errs.Unavailable, "orders are away at the moment"))
	fmt.Println(err)
	fmt.Println(errs.From(err).Message)
	fmt.Println(errors.Is(err, cause), errs.Is(err, errs.Unavailable))
	// Output:
	// load order: unavailable: orders are away at the moment: connection refused
	// orders are away at the moment
	// true true
}
