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
	"souk/pkg/cohort"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/retry"
)

// ClientOptions of a client connection.
type ClientOptions struct {
	// Service is the short name of the service that calls, e.g. "order".
	Service string
	// Signer proves that it is Service that calls. Nil: calls without identity.WithToken or WithWord are anonymous.
	Signer *identity.Signer
	// Breakers hold one per called service; nil: none.
	Breakers *breaker.Registry
	// Tracer for spans of sampled traces; nil: none.
	Tracer trace.Tracer
	// Metrics is where rpc_client_… are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Retry of calls to idempotent methods. The zero Policy is one attempt.
	Retry retry.Policy
}

// NewClient makes the connection that stubs get out of a transport's bare one. Its calls carry who
// calls, the idempotency key, the request ID and the trace context of their context; get the method's
// default deadline if they have none; go through the breaker of the called service; and are repeated
// within bounds if the method is idempotent and nothing was done. Its errors are *errs.Error. Where a service that calls for
// itself is refused as such, they are errs.Unavailable or errs.Internal.
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
	known, _ := c.methods.LoadOrStore(fullMethod, &clientMethod{Method: m, target: target, metrics: c.metrics.method(target, m.Name)})
	return known.(*clientMethod), nil //nolint:forcetypeassert // nothing else is stored
}

// NewStream fails with errs.Unimplemented.
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
		coded = ours(coded)
	}
	endSpan(sp, coded)
	m.metrics.observe(start, coded)
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
		defer func() { h.Cohort = cohort.Hint{} }() // who tries again is late for it
		if c.options.Breakers == nil {
			return c.raw.Invoke(WithOutgoing(ctx, h), m.FullMethod, args, reply, opts...)
		}
		return c.options.Breakers.Do(ctx, m.target, func() error {
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
	h := Header{Word: identity.WordFrom(ctx), RequestID: known.requestID, Cohort: cohort.From(ctx)}
	if !known.incoming {
		h.IdempotencyKey = known.idempotencyKey
	}
	inject(ctx, &h)
	if h.Word != nil {
		return h
	}
	if h.Token = identity.TokenFrom(ctx); h.Token == "" && c.options.Signer != nil {
		h.Word = c.options.Signer.Say(identity.Service(c.options.Service))
	}
	return h
}

// ownCall reports whether the service calls for itself, and not for who called it. The gateway always calls for somebody, who may
// be the one that is refused.
func (c *client) ownCall(ctx context.Context) bool {
	return c.options.Signer != nil && c.options.Service != identity.Gateway && identity.WordFrom(ctx) == nil && identity.TokenFrom(ctx) == ""
}

// ours gives a refusal of the service that calls, which says nothing of what it asked for, a code that is none: whoever
// it works for must not take it for theirs, and may try again. A clock that is wrong or a key that is not known yet passes, a
// method that a service may not call or that the other does not have is for people to look at.
func ours(err *errs.Error) *errs.Error {
	switch err.Code {
	case errs.Unauthenticated:
		return errs.Wrap(err, errs.Unavailable, "temporarily unavailable, please try again").WithRetryAfter(time.Second)
	case errs.Forbidden, errs.Unimplemented:
		return errs.Wrap(err, errs.Internal, "something went wrong on our side")
	default:
		return err
	}
}

// retryable says that nothing was done, and that it is no breaker that spares the target.
func retryable(err error) bool {
	err = fromRaw(err)
	return retry.Transient(err) && !errors.Is(err, breaker.ErrOpen)
}

// fromRaw is fromAny for interfaces.
func fromRaw(err error) error {
	if e := fromAny(err); e != nil {
		return e
	}
	return nil
}

// fromAny gives an error its code, also one that came as a gRPC status.
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
