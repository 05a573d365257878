package rpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"souk/pkg/breaker"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/retry"
)

// ClientOptions configure a client connection.
type ClientOptions struct {
	// Service is the short name of the calling service, e.g. "order".
	Service string
	// Signer proves that Service is the caller. If it is nil, calls without identity.WithToken or
	// identity.WithAssertion are anonymous.
	Signer *identity.Signer
	// Breakers holds one breaker per called service; nil disables breakers.
	Breakers *breaker.Registry
	// Tracer creates spans of sampled traces; nil disables them.
	Tracer trace.Tracer
	// Metrics registers rpc_client_…; nil disables them.
	Metrics prometheus.Registerer
	// Retry applies to calls of idempotent methods. The zero Policy means one attempt.
	Retry retry.Policy
}

// NewClient wraps a transport's bare connection for use by stubs. Its calls carry the identity, the idempotency
// key, the request ID and the trace context from ctx. They have the method's default deadline if ctx has none,
// and go through the breaker of the called service. A call of an idempotent method is retried if it had no
// effect.
//
// Errors: *errs.Error. If the service itself, rather than the actor it works for, is refused: unavailable, internal.
func NewClient(raw grpc.ClientConnInterface, o ClientOptions) grpc.ClientConnInterface {
	return &client{raw: raw, options: o, metrics: newMetrics("client", o.Metrics)}
}

type client struct {
	raw     grpc.ClientConnInterface
	options ClientOptions
	metrics metrics
	methods sync.Map // full method name to *clientMethod; bounded by the contracts
}

type clientMethod struct {
	Method
	target  string
	metrics *methodMetrics
}

func (c *client) method(fullMethod string) (*clientMethod, error) {
	if known, ok := c.methods.Load(fullMethod); ok {
		return known.(*clientMethod), nil //nolint:forcetypeassert // nothing else is stored
	}
	m, err := FindMethod(fullMethod)
	if err != nil {
		return nil, errs.Wrap(err, errs.Unimplemented, "there is no method %s", fullMethod)
	}
	target := Target(fullMethod)
	own := &clientMethod{Method: m, target: target, metrics: c.metrics.method(target, m.Name)}
	known, _ := c.methods.LoadOrStore(fullMethod, own)
	return known.(*clientMethod), nil //nolint:forcetypeassert // nothing else is stored
}

// NewStream always fails: streams are not supported.
//
// Errors: unimplemented.
func (c *client) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, noStreams()
}

// Invoke calls the method.
func (c *client) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	m, err := c.method(method)
	if err != nil {
		return err
	}
	start := time.Now()
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.Timeout)
		defer cancel()
	}
	ctx, sp := span(ctx, c.options.Tracer, trace.SpanKindClient, m.Method)
	coded := fromAny(c.invoke(ctx, m, args, reply, opts))
	if coded != nil && c.ownCall(ctx) {
		coded = hideRefusal(coded)
	}
	endSpan(sp, coded)
	m.metrics.observe(ctx, start, coded)
	if coded != nil {
		return coded
	}
	return nil
}

func (c *client) invoke(ctx context.Context, m *clientMethod, args, reply any, opts []grpc.CallOption) error {
	h := c.header(ctx)
	attempt := func(ctx context.Context) error {
		if end, ok := ctx.Deadline(); ok {
			h.Timeout = time.Until(end)
		}
		if c.options.Breakers == nil {
			return c.raw.Invoke(WithOutgoing(ctx, h), m.FullMethod, args, reply, opts...)
		}
		return c.options.Breakers.Call(ctx, m.target, func() error {
			return fromRaw(c.raw.Invoke(WithOutgoing(ctx, h), m.FullMethod, args, reply, opts...))
		})
	}
	if !m.Idempotent {
		return attempt(ctx)
	}
	return retry.Do(ctx, c.options.Retry, retryable, attempt)
}

func (c *client) header(ctx context.Context) Header {
	known := callFrom(ctx)
	h := Header{Assertion: identity.AssertionFrom(ctx), RequestID: known.requestID, Address: known.address}
	if !known.incoming {
		h.IdempotencyKey = known.idempotencyKey
	}
	inject(ctx, &h)
	if h.Assertion != nil {
		return h
	}
	if h.Token = identity.TokenFrom(ctx); h.Token == "" && c.options.Signer != nil {
		h.Assertion = c.options.Signer.Assert(identity.Service(c.options.Service))
	}
	return h
}

// ownCall reports whether the service calls on its own behalf. The gateway never does: it calls on behalf of an
// actor, and a refusal may concern that actor.
func (c *client) ownCall(ctx context.Context) bool {
	return c.options.Signer != nil && c.options.Service != identity.Gateway &&
		identity.AssertionFrom(ctx) == nil && identity.TokenFrom(ctx) == ""
}

// hideRefusal replaces the code of a refusal that concerns the calling service itself, so that the service's own
// caller does not take the refusal as theirs. Unauthenticated becomes Unavailable, because its usual causes
// (clock skew, a key that is not known yet) pass. Forbidden and Unimplemented become Internal, because they
// need a fix.
func hideRefusal(err *errs.Error) *errs.Error {
	switch err.Code {
	case errs.Unauthenticated:
		return errs.Wrap(err, errs.Unavailable, "temporarily unavailable, please try again").WithRetryAfter(time.Second)
	case errs.Forbidden, errs.Unimplemented:
		return errs.Wrap(err, errs.Internal, "something went wrong on our side")
	default:
		return err
	}
}

// retryable reports whether the call had no effect and was not rejected by an open breaker.
func retryable(err error) bool {
	err = fromRaw(err)
	return retry.Transient(err) && !errors.Is(err, breaker.ErrOpen)
}

// fromRaw is fromAny with an untyped nil for success.
func fromRaw(err error) error {
	if e := fromAny(err); e != nil {
		return e
	}
	return nil
}

// fromAny converts err, which may be a gRPC status, to a coded error.
func fromAny(err error) *errs.Error {
	if err == nil {
		return nil
	}
	var coded *errs.Error
	if errors.As(err, &coded) {
		return coded
	}
	if s, ok := status.FromError(err); ok {
		return errs.FromStatus(s)
	}
	return errs.From(err)
}
