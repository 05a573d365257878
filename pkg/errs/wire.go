package errs

import (
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// domain marks ErrorInfo details that carry a Code.
const domain = "souk"

type mapping struct {
	http int
	grpc codes.Code
}

var mappings = map[Code]mapping{
	Invalid:             {http.StatusBadRequest, codes.InvalidArgument},
	Unauthenticated:     {http.StatusUnauthorized, codes.Unauthenticated},
	SignInAgain:         {http.StatusUnauthorized, codes.Unauthenticated},
	PaymentDeclined:     {http.StatusPaymentRequired, codes.FailedPrecondition},
	Forbidden:           {http.StatusForbidden, codes.PermissionDenied},
	RequestRefused:      {http.StatusForbidden, codes.PermissionDenied},
	AccountSuspended:    {http.StatusForbidden, codes.PermissionDenied},
	ApprovalRequired:    {http.StatusForbidden, codes.PermissionDenied},
	NotFound:            {http.StatusNotFound, codes.NotFound},
	Conflict:            {http.StatusConflict, codes.Aborted},
	AlreadyExists:       {http.StatusConflict, codes.AlreadyExists},
	OutOfStock:          {http.StatusConflict, codes.FailedPrecondition},
	CheckoutInProgress:  {http.StatusConflict, codes.Aborted},
	PriceChanged:        {http.StatusConflict, codes.FailedPrecondition},
	IdempotencyInFlight: {http.StatusConflict, codes.Aborted},
	PreconditionFailed:  {http.StatusPreconditionFailed, codes.FailedPrecondition},
	TooLarge:            {http.StatusRequestEntityTooLarge, codes.InvalidArgument},
	IdempotencyMismatch: {http.StatusUnprocessableEntity, codes.FailedPrecondition},
	VoucherInvalid:      {http.StatusUnprocessableEntity, codes.FailedPrecondition},
	CartEmpty:           {http.StatusUnprocessableEntity, codes.FailedPrecondition},
	CardNumberRefused:   {http.StatusUnprocessableEntity, codes.InvalidArgument},
	Unprocessable:       {http.StatusUnprocessableEntity, codes.FailedPrecondition},
	RateLimited:         {http.StatusTooManyRequests, codes.ResourceExhausted},
	LockedOut:           {http.StatusTooManyRequests, codes.ResourceExhausted},
	Internal:            {http.StatusInternalServerError, codes.Internal},
	Unimplemented:       {http.StatusNotImplemented, codes.Unimplemented},
	Overloaded:          {http.StatusServiceUnavailable, codes.ResourceExhausted},
	Unavailable:         {http.StatusServiceUnavailable, codes.Unavailable},
	Timeout:             {http.StatusServiceUnavailable, codes.DeadlineExceeded},
}

// byGRPC maps statuses of other programs, which carry no Code.
var byGRPC = map[codes.Code]Code{
	codes.Canceled:           Timeout,
	codes.InvalidArgument:    Invalid,
	codes.DeadlineExceeded:   Timeout,
	codes.NotFound:           NotFound,
	codes.AlreadyExists:      AlreadyExists,
	codes.PermissionDenied:   Forbidden,
	codes.ResourceExhausted:  Overloaded,
	codes.FailedPrecondition: Unprocessable,
	codes.Aborted:            Conflict,
	codes.OutOfRange:         Invalid,
	codes.Unimplemented:      Unimplemented,
	codes.Unavailable:        Unavailable,
	codes.Unauthenticated:    Unauthenticated,
}

// HTTPStatus returns the code's HTTP status in the REST API.
func (c Code) HTTPStatus() int {
	if m, ok := mappings[c]; ok {
		return m.http
	}
	return http.StatusInternalServerError
}

// ToStatus converts err to a gRPC status, without its cause.
func ToStatus(err error) *status.Status {
	e := From(err)
	if e == nil {
		return status.New(codes.OK, "")
	}
	m, ok := mappings[e.Code]
	if !ok {
		m = mappings[Internal]
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: string(e.Code), Domain: domain}}
	if len(e.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range e.Fields {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{
					Field: valid(f.Path), Description: valid(f.Message), Reason: valid(f.Reason),
				})
		}
		details = append(details, bad)
	}
	if e.Detail != nil {
		details = append(details, protoadapt.MessageV1Of(e.Detail))
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	s := status.New(m.grpc, valid(e.Message))
	if d, err := s.WithDetails(details...); err == nil {
		return d
	}
	return s
}

// valid replaces invalid UTF-8, which protobuf refuses. A message may quote a client's input.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// FromStatus converts a gRPC status to an error. It returns nil for OK.
func FromStatus(s *status.Status) *Error {
	if s == nil || s.Code() == codes.OK {
		return nil
	}
	e := &Error{Code: Internal, Message: s.Message()}
	if c, ok := byGRPC[s.Code()]; ok {
		e.Code = c
	}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if _, known := mappings[Code(d.GetReason())]; known && d.GetDomain() == domain {
				e.Code = Code(d.GetReason())
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, Field{
					Path: v.GetField(), Message: v.GetDescription(), Reason: v.GetReason(),
				})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		case proto.Message:
			e.Detail = d
		}
	}
	if e.RetryAfter == 0 && (e.Code == Unavailable || e.Code == Overloaded) {
		e.RetryAfter = time.Second
	}
	return e
}
