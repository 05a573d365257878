// Package natsrpc carries the calls of package rpc between processes, over NATS request-reply.
//
// A method has the subject rpc.{svc}.v1.{Service}.{Method}. The processes of a service share a queue group. Each
// message is handled on its own goroutine (a reused or a new one), so that a slow handler does not delay others.
// The rpc.Server limits the calls in flight; it refuses further calls instead of queueing them.
//
// Services answer the NATS service API ($SRV.PING, INFO and STATS, see package micro), so that `nats micro ls`
// and [Discover] find them and show their statistics.
//
// NATS carries deadlines but no cancellation: a caller that gives up continues at once, and the handler runs until
// the deadline.
//
// A call fails with an unknown outcome when its answer may never come. If the caller's connection breaks, it fails at
// once. It cannot see that the callee, its connection or the NATS server between them is gone. Therefore a handler
// sends a heartbeat every second, and a caller that gets none for three seconds gives up.
package natsrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"souk/pkg/errs"
	"souk/pkg/rpc"
)

// Names of headers. They are short, because every call carries them.
const (
	headerToken       = "T"
	headerIdempotency = "K"
	headerRequestID   = "R"
	headerAddress     = "A"
	headerTraceparent = "P"
	headerTracestate  = "S"
	headerTimeout     = "D" // microseconds
	// headerError marks a reply that holds a google.rpc.Status.
	headerError = "E"
)

const (
	defaultHeartbeat = time.Second
	// maxMissed is the number of heartbeats after which a caller gives up.
	maxMissed = 3
)

// Options configure a transport.
type Options struct {
	// Logger receives errors that no call returns; nil disables logging.
	Logger *zap.Logger
	// Version is the software version shown by the NATS service API; "" means "0.0.0".
	Version string
	// Heartbeat is the time between a handler's heartbeats; 0 means a second. A caller gives up if it gets none for
	// three times as long, so all processes need the same.
	Heartbeat time.Duration
}

type transport struct {
	nc      *nats.Conn
	options Options
	pending calls // of all clients of the transport
}

// New returns a transport over nc. The caller remains responsible for closing nc.
func New(nc *nats.Conn, o Options) rpc.Transport {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Version == "" {
		o.Version = "0.0.0"
	}
	o.Heartbeat = cmp.Or(o.Heartbeat, defaultHeartbeat)
	return &transport{nc: nc, options: o, pending: calls{nc: nc, timeout: maxMissed * o.Heartbeat}}
}

// Subject returns the subject on which a method is called: "rpc.product.v1.ProductService.GetProduct" for
// "/souk.product.v1.ProductService/GetProduct".
func Subject(fullMethod string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(fullMethod, "/"), "souk.")
	return "rpc." + strings.Replace(name, "/", ".", 1)
}

// Heartbeat returns the subject of the heartbeats of a call whose answer has the given subject. It is a subject of its
// own, because the servers let a service publish only one message to an answer's.
func Heartbeat(answer string) string {
	return "_HEARTBEAT." + strings.TrimPrefix(answer, nats.InboxPrefix)
}

// Conn returns the bare connection for rpc.NewClient.
func (t *transport) Conn() grpc.ClientConnInterface { return &conn{calls: &t.pending} }

// Serve answers calls with s until stop is called.
//
// Errors: internal (s has an error), unavailable (the connection is down).
func (t *transport) Serve(ctx context.Context, s *rpc.Server) (stop func(context.Context) error, err error) {
	if err := s.Err(); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "%s cannot be served", s.Service())
	}
	sv := newServing(t, s)
	if err := sv.subscribe(); err != nil {
		sv.cancel()
		return nil, errors.Join(errs.Wrap(err, errs.Unavailable, "NATS takes no subscriptions"), sv.unsubscribe())
	}
	// Callers get "no responders" until the NATS server has seen the subscriptions.
	if err := flush(ctx, t.nc); err != nil {
		sv.cancel()
		return nil, errors.Join(errs.Wrap(err, errs.Unavailable, "NATS does not answer"), sv.unsubscribe())
	}
	return sv.stop, nil
}

// serving is one server on one connection.
type serving struct {
	*transport
	server  *rpc.Server
	methods map[string]*endpoint // by subject
	started time.Time
	id      string

	base   context.Context // parent of all calls' contexts; its end aborts them
	cancel context.CancelFunc
	calls  sync.WaitGroup
	spare  chan message // to idle goroutines
	spares atomic.Int32 // number of idle goroutines

	subscriptions []*nats.Subscription
	closed        sync.WaitGroup // of subscriptions
	buffers       sync.Pool
}

// maxSpares is the maximum number of idle goroutines kept for further messages. Their stacks have grown to the size
// that a call needs; the stack of a new goroutine is copied several times until it has.
const maxSpares = 64

// message is a received call.
type message struct {
	service string
	msg     *nats.Msg
}

func newServing(t *transport, s *rpc.Server) *serving {
	sv := &serving{
		transport: t,
		server:    s,
		spare:     make(chan message),
		methods:   map[string]*endpoint{},
		started:   time.Now().UTC(),
		id:        nats.NewInbox()[len(nats.InboxPrefix):],
	}
	sv.base, sv.cancel = context.WithCancel(context.Background())
	sv.buffers.New = func() any { return new([]byte) }
	for _, m := range s.Methods() {
		sv.methods[Subject(m.FullMethod)] = &endpoint{method: m, subject: Subject(m.FullMethod)}
	}
	return sv
}

func (sv *serving) subscribe() error {
	var services []string
	for _, m := range sv.server.Methods() {
		services = append(services, m.Service)
	}
	for _, service := range slices.Compact(services) {
		// One subscription per service, not per method: it distinguishes an unknown method from an absent service.
		prefix := Subject("/" + service + "/")
		err := sv.add(prefix+"*", rpc.Target(service), func(m *nats.Msg) {
			sv.dispatch(message{service, m})
		})
		if err != nil {
			return err
		}
	}
	return sv.discoverable()
}

// add subscribes to subject, in the queue group if queue is not empty.
func (sv *serving) add(subject, queue string, handle nats.MsgHandler) error {
	sub, err := sv.nc.QueueSubscribe(subject, queue, handle)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	sv.closed.Add(1)
	done := sync.OnceFunc(sv.closed.Done)
	sub.SetClosedHandler(func(string) { done() })
	sv.subscriptions = append(sv.subscriptions, sub)
	return nil
}

func (sv *serving) unsubscribe() error {
	end := (*nats.Subscription).Drain
	if !sv.nc.IsConnected() {
		end = (*nats.Subscription).Unsubscribe // draining would wait for the server
	}
	var all []error
	for _, sub := range sv.subscriptions {
		if err := end(sub); err != nil && !errors.Is(err, nats.ErrConnectionClosed) &&
			!errors.Is(err, nats.ErrBadSubscription) {
			all = append(all, fmt.Errorf("unsubscribe from %s: %w", sub.Subject, err))
		}
	}
	return errors.Join(all...)
}

// stop rejects new calls, answers the received ones and waits until the answers are sent. If ctx ends first, the
// handlers' contexts end too.
func (sv *serving) stop(ctx context.Context) error {
	defer sv.cancel()
	err := sv.unsubscribe()
	// Wait for the subscriptions first: once they are closed, no call is added.
	for _, group := range []*sync.WaitGroup{&sv.closed, &sv.calls} {
		if waitErr := rpc.WaitFor(ctx, group); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
	if !sv.nc.IsConnected() {
		return err // the last answers cannot be sent
	}
	if flushErr := flush(ctx, sv.nc); flushErr != nil && !errors.Is(flushErr, nats.ErrConnectionClosed) {
		err = errors.Join(err, errs.Wrap(flushErr, errs.Unavailable, "the last answers may not have been sent"))
	}
	return err
}

// dispatch passes a message to an idle goroutine, or starts a new one.
func (sv *serving) dispatch(m message) {
	sv.calls.Add(1)
	select {
	case sv.spare <- m:
	default:
		go sv.work(m)
	}
}

// work answers m and then further messages. It returns when the serving ends or maxSpares goroutines are idle already.
func (sv *serving) work(m message) {
	for {
		sv.answer(m.service, m.msg)
		if sv.spares.Add(1) > maxSpares {
			sv.spares.Add(-1)
			return
		}
		select {
		case m = <-sv.spare:
			sv.spares.Add(-1)
		case <-sv.base.Done():
			sv.spares.Add(-1)
			return
		}
	}
}

// answer handles one message and sends the reply.
func (sv *serving) answer(service string, m *nats.Msg) {
	defer sv.calls.Done()
	start := time.Now()
	done := make(chan struct{})
	defer close(done)
	defer time.AfterFunc(sv.options.Heartbeat, func() { sv.beat(m, done) }).Stop()
	ep := sv.methods[m.Subject]
	fullMethod := "/" + service + "/" + m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	if ep != nil {
		fullMethod = ep.method.FullMethod
	}
	reply, err := sv.server.Call(sv.base, fullMethod, header(m.Header), func(into any) error {
		request, ok := into.(proto.Message)
		if !ok {
			return fmt.Errorf("%T is not a message", into)
		}
		if err := proto.Unmarshal(m.Data, request); err != nil {
			return errs.Wrap(err, errs.Invalid, "the request cannot be read")
		}
		return nil
	})
	if err == nil {
		err = sv.send(m, reply)
	}
	if err != nil {
		sv.sendError(m, err)
	}
	if ep != nil {
		ep.observe(time.Since(start), err)
	}
}

// beat sends heartbeats to the caller until done is closed.
func (sv *serving) beat(m *nats.Msg, done <-chan struct{}) {
	if m.Reply == "" {
		return
	}
	tick := time.NewTicker(sv.options.Heartbeat)
	defer tick.Stop()
	for {
		if err := sv.nc.Publish(Heartbeat(m.Reply), nil); err != nil {
			return // then the answer cannot be sent either, which is logged
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

func (sv *serving) send(m *nats.Msg, reply proto.Message) error {
	if m.Reply == "" {
		return nil
	}
	buffer := sv.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer sv.buffers.Put(buffer)
	data, err := proto.MarshalOptions{}.MarshalAppend((*buffer)[:0], reply)
	if err != nil {
		return errs.Wrap(err, errs.Internal, "the answer cannot be written")
	}
	if cap(data) <= maxKeptBuffer { // larger ones are rare
		*buffer = data
	}
	err = sv.nc.Publish(m.Reply, data) // copies data
	if errors.Is(err, nats.ErrMaxPayload) {
		return errs.New(errs.Internal, "the answer is too large: %d bytes, and NATS carries at most %d", len(data),
			sv.nc.MaxPayload())
	}
	if err != nil {
		sv.options.Logger.Warn("an answer was not sent", zap.String("subject", m.Subject), zap.Error(err))
	}
	return nil
}

func (sv *serving) sendError(m *nats.Msg, failure error) {
	if m.Reply == "" {
		return
	}
	data, err := proto.Marshal(errs.ToStatus(failure).Proto())
	if err == nil {
		err = sv.nc.PublishMsg(&nats.Msg{Subject: m.Reply, Data: data, Header: nats.Header{headerError: {"1"}}})
	}
	if err != nil {
		sv.options.Logger.Warn("an answer was not sent", zap.String("subject", m.Subject), zap.Error(err))
	}
}

func header(h nats.Header) rpc.Header {
	out := rpc.Header{
		Token: first(h, headerToken), IdempotencyKey: first(h, headerIdempotency), RequestID: first(h, headerRequestID),
		Address:     first(h, headerAddress),
		Traceparent: first(h, headerTraceparent), Tracestate: first(h, headerTracestate),
	}
	if us, err := strconv.ParseInt(first(h, headerTimeout), 10, 64); err == nil {
		out.Timeout = time.Duration(us) * time.Microsecond
	}
	return out
}

// first returns the first value of a header, or "".
func first(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// conn is the calling side.
type conn struct{ calls *calls }

// NewStream always fails: streams are not supported.
//
// Errors: unimplemented.
func (c *conn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errs.New(errs.Unimplemented, "there are no streams between services")
}

// Invoke calls the method.
//
// Errors: those of the method; unavailable (the service or NATS is down, or the connection broke before the answer,
// in which case the outcome is unknown); timeout (ctx ended); too_large (the request exceeds NATS's limit);
// those of identity.Assertion.Token.
func (c *conn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	in, isIn := args.(proto.Message)
	out, isOut := reply.(proto.Message)
	if !isIn || !isOut {
		return errs.New(errs.Internal, "%s was called with %T and %T", method, args, reply)
	}
	data, err := proto.Marshal(in)
	if err != nil {
		return errs.Wrap(err, errs.Invalid, "the request cannot be written")
	}
	h := rpc.Outgoing(ctx)
	if h.Token == "" && h.Assertion != nil {
		if h.Token, err = h.Assertion.Token(method); err != nil {
			return err
		}
	}
	m, err := c.calls.request(ctx, &nats.Msg{Subject: Subject(method), Header: headers(h), Data: data})
	if err != nil {
		return c.failure(ctx, method, len(data), err)
	}
	if first(m.Header, headerError) != "" {
		var s spb.Status
		if err := proto.Unmarshal(m.Data, &s); err != nil {
			return errs.Wrap(err, errs.Internal, "the answer of %s cannot be read", method)
		}
		return errs.FromStatus(status.FromProto(&s))
	}
	if err := proto.Unmarshal(m.Data, out); err != nil { // resets out first
		return errs.Wrap(err, errs.Internal, "the answer of %s cannot be read", method)
	}
	return nil
}

func headers(h rpc.Header) nats.Header {
	const most = 6
	out := make(nats.Header, most)
	values := make([]string, 0, most) // one allocation for all values
	set := func(name, value string) {
		if value != "" {
			values = append(values, value)
			out[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(headerToken, h.Token)
	set(headerIdempotency, h.IdempotencyKey)
	set(headerRequestID, h.RequestID)
	set(headerAddress, h.Address)
	set(headerTraceparent, h.Traceparent)
	set(headerTracestate, h.Tracestate)
	if h.Timeout > 0 {
		set(headerTimeout, strconv.FormatInt(h.Timeout.Microseconds(), 10))
	}
	return out
}

func (c *conn) failure(ctx context.Context, method string, size int, err error) error {
	switch {
	case errors.Is(err, errLost): // takes precedence over the end of the context
		return errs.Wrap(err, errs.Unavailable, "%s could not answer: the connection broke", rpc.Target(method)).
			WithRetryAfter(time.Second)
	case errors.Is(err, errNoHeartbeat):
		return errs.Wrap(err, errs.Unavailable, "%s does not answer", rpc.Target(method)).WithRetryAfter(time.Second)
	case ctx.Err() != nil:
		return errs.From(ctx.Err())
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrDisconnected):
		return rpc.NotServed(method)
	case errors.Is(err, nats.ErrMaxPayload):
		return errs.New(errs.TooLarge, "the request is too large: %d bytes, and NATS carries at most %d", size,
			c.calls.nc.MaxPayload())
	default:
		return errs.Wrap(err, errs.Unavailable, "%s is out of reach", rpc.Target(method)).WithRetryAfter(time.Second)
	}
}
