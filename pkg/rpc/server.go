package rpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/logging"
)

// DefaultLimit is the default of ServerOptions.Limit.
const DefaultLimit = 256

// shedRetryAfter is the RetryAfter of calls that were refused because of load.
const shedRetryAfter = time.Second

// ServerOptions configure a Server.
type ServerOptions struct {
	// Service is the short name of the service, e.g. "product".
	Service string
	// Verifier checks callers' identities. If it is nil, every call with a token is refused.
	Verifier *identity.Verifier
	// Logger receives internal errors; nil disables logging.
	Logger *zap.Logger
	// Tracer creates spans of sampled traces; nil disables them.
	Tracer trace.Tracer
	// Metrics registers rpc_server_…; nil disables them.
	Metrics prometheus.Registerer
	// Limit is the maximum number of calls in flight; further ones fail with errs.Overloaded. 0 means DefaultLimit.
	Limit int
	// Record writes an entry of the audit trail. Nil: no entries.
	Record func(context.Context, event.Event) error
	// PageKey signs the page tokens of the service's lists, and is the same in all its processes; nil: tokens are
	// neither signed nor checked.
	PageKey []byte
}

// Server answers calls with the implementations that are registered with it. All registrations must precede the
// first call.
type Server struct {
	options ServerOptions
	metrics metrics
	methods map[string]*serverMethod
	errs    []error
	running atomic.Int64 // calls in flight
}

type serverMethod struct {
	Method
	handler grpc.MethodHandler
	impl    any
	metrics *methodMetrics
	bounds  *InFlight
	pages   *pages // nil: the method lists nothing, or tokens are not signed
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// NewServer returns a Server without methods.
func NewServer(o ServerOptions) *Server {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &Server{options: o, metrics: newMetrics("server", o.Metrics), methods: map[string]*serverMethod{}}
}

// RegisterService adds the methods of a service. Generated code calls it. [Server.Err] returns its errors.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if desc.HandlerType != nil {
		want := reflect.TypeOf(desc.HandlerType).Elem()
		if impl == nil || !reflect.TypeOf(impl).Implements(want) {
			s.errs = append(s.errs, fmt.Errorf("%T does not implement %s", impl, desc.ServiceName))
			return
		}
	}
	for _, stream := range desc.Streams {
		s.errs = append(s.errs,
			fmt.Errorf("/%s/%s is a stream: only unary methods are served", desc.ServiceName, stream.StreamName))
	}
	for _, d := range desc.Methods {
		if err := s.register("/"+desc.ServiceName+"/"+d.MethodName, d.Handler, impl); err != nil {
			s.errs = append(s.errs, err)
		}
	}
}

func (s *Server) register(fullMethod string, handler grpc.MethodHandler, impl any) error {
	if _, exists := s.methods[fullMethod]; exists {
		return fmt.Errorf("%s is registered twice", fullMethod)
	}
	m, err := FindMethod(fullMethod)
	if err != nil {
		return err
	}
	if err := errors.Join(checkOption(m), warm(m)); err != nil {
		return err
	}
	s.methods[fullMethod] = &serverMethod{
		Method: m, handler: handler, impl: impl,
		metrics: s.metrics.method(Target(fullMethod), m.Name),
		bounds:  NewInFlight(m.InFlight),
		pages:   pagesOf(m, s.options.PageKey),
	}
	return nil
}

// Err returns the errors of all registrations, e.g. a method without an access option. Transports refuse to serve
// a Server with an error.
func (s *Server) Err() error { return errors.Join(s.errs...) }

// Service returns the short name of the service.
func (s *Server) Service() string { return s.options.Service }

// Methods returns the registered methods, sorted by name.
func (s *Server) Methods() []Method {
	methods := make([]Method, 0, len(s.methods))
	for _, m := range s.methods {
		methods = append(methods, m.Method)
	}
	slices.SortFunc(methods, func(a, b Method) int { return strings.Compare(a.FullMethod, b.FullMethod) })
	return methods
}

// Call handles one call. Transports use it. decode fills the request, whose type the method determines.
// The error is an *errs.Error whose cause must not leave the process.
func (s *Server) Call(ctx context.Context, fullMethod string, h Header, decode func(any) error) (proto.Message, error) {
	m, ok := s.methods[fullMethod]
	if !ok {
		return nil, errs.New(errs.Unimplemented, "there is no method %s", fullMethod)
	}
	start := time.Now()
	if s.running.Add(1) > int64(s.options.Limit) {
		s.running.Add(-1)
		err := errs.New(errs.Overloaded, "%s has too much to do", s.options.Service).WithRetryAfter(shedRetryAfter)
		m.metrics.observe(ctx, start, err)
		return nil, err
	}
	defer s.running.Add(-1)

	if _, has := ctx.Deadline(); !has {
		timeout := h.Timeout
		if timeout <= 0 {
			timeout = m.Timeout
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	ctx, sp := span(extract(ctx, &h), s.options.Tracer, trace.SpanKindServer, m.Method)
	reply, err := s.handle(ctx, m, h, decode)
	coded := s.finish(ctx, m, h, err)
	endSpan(sp, coded)
	m.metrics.observe(ctx, start, coded)
	if coded != nil {
		return nil, coded
	}
	return reply, nil
}

// panicError is a recovered panic.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func (s *Server) handle(
	ctx context.Context, m *serverMethod, h Header, decode func(any) error,
) (reply proto.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			reply, err = nil, &panicError{value: p, stack: debug.Stack()}
		}
	}()
	if ctx, err = s.authorize(ctx, m, h); err != nil {
		return nil, err
	}
	release, err := m.bounds.Acquire(ctx, identity.FromContext(ctx).ID)
	if err != nil {
		return nil, err
	}
	defer release()
	trail := s.trail(ctx, m, h)
	ctx = context.WithValue(
		trail.context(ctx),
		callKey{},
		call{
			requestID:      h.RequestID,
			idempotencyKey: h.IdempotencyKey,
			incoming:       true,
			permission:     m.Access.GetPermission(),
			address:        h.Address,
			trail:          trail,
		},
	)
	if h.RequestID != "" {
		ctx = logging.WithRequestID(ctx, h.RequestID)
	}
	out, err := m.handler(m.impl, ctx, func(into any) error {
		if err := decode(into); err != nil {
			return err
		}
		request, ok := into.(proto.Message)
		if !ok {
			return fmt.Errorf("%T is not a message", into)
		}
		if err := Validate(request); err != nil {
			return err
		}
		if err := trail.begin(ctx, request); err != nil {
			return err
		}
		return m.pages.open(request)
	}, nil)
	if err != nil {
		trail.failed(ctx, err)
		return nil, err
	}
	reply, ok := out.(proto.Message)
	if !ok || !reply.ProtoReflect().IsValid() {
		return nil, fmt.Errorf("the handler returned %T(nil) and no error", out)
	}
	return m.pages.seal(mask(ctx, reply)), nil
}

// finish returns err as a coded error. It logs internal and unavailable errors, because their causes do not leave
// the process.
func (s *Server) finish(ctx context.Context, m *serverMethod, h Header, err error) *errs.Error {
	if err == nil {
		return nil
	}
	e := fromAny(err)
	if e.Code == errs.Internal && ctx.Err() != nil {
		// A driver's error after its context has ended is not a bug.
		e = errs.Wrap(err, errs.Timeout, "the request took too long or was given up")
	}
	if e.RetryAfter == 0 && (e.Code == errs.Unavailable || e.Code == errs.Overloaded) {
		e = e.WithRetryAfter(time.Second)
	}
	fields := []zap.Field{
		zap.String("method", m.FullMethod), zap.String("code", string(e.Code)),
		zap.String("request_id", h.RequestID), zap.Error(err),
	}
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		fields = append(fields, zap.String("trace_id", sc.TraceID().String()))
	}
	var p *panicError
	switch {
	case errors.As(err, &p):
		s.options.Logger.Error("a handler panicked", append(fields, zap.ByteString("stack", p.stack))...)
	case e.Code == errs.Internal:
		s.options.Logger.Error("a call failed", fields...)
	case e.Code == errs.Unavailable && errors.Unwrap(e) != nil:
		s.options.Logger.Warn("a call failed: a dependency is unavailable", fields...)
	}
	return e
}
