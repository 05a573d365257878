// Package natsrpc carries the calls of package rpc between processes, over NATS request-reply.
//
// A method is the subject rpc.{svc}.v1.{Service}.{Method}; the processes of a service share a queue group. Every
// message gets a goroutine of its own at once, one that has just answered or a new one, so that a slow handler
// holds up nobody; how many run at once is bounded by the rpc.Server, which refuses what is more instead of queueing it.
//
// Services answer to the NATS service API ($SRV.PING, INFO and STATS, see package micro), so that `nats
// micro ls` and Discover find them with statistics of what really happened.
//
// NATS carries deadlines but no cancellation: a caller who gives up goes on at once, and the handler ends
// with the deadline. Calls that are under way when the connection breaks fail at once: their answers are lost with it.
package natsrpc

import (
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

	"souk/pkg/cohort"
	"souk/pkg/errs"
	"souk/pkg/rpc"
)

// Names of headers; short, as every call carries them.
const (
	headerToken       = "T"
	headerIdempotency = "K"
	headerRequestID   = "R"
	headerTraceparent = "P"
	headerTracestate  = "S"
	headerTimeout     = "D" // microseconds
	headerCohort      = "C" // its ID in base 36, "/", its size
	// headerError marks an answer that is a google.rpc.Status.
	headerError = "E"
)

// Options of a transport.
type Options struct {
	// Logger for what goes wrong between calls; nil: none.
	Logger *zap.Logger
	// Version of the software, shown by the NATS service API; "": "0.0.0".
	Version string
}

type transport struct {
	nc      *nats.Conn
	options Options
	pending calls // of all of its clients
}

// New makes a transport on a connection, which stays the caller's to close.
func New(nc *nats.Conn, o Options) rpc.Transport {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Version == "" {
		o.Version = "0.0.0"
	}
	return &transport{nc: nc, options: o, pending: calls{nc: nc}}
}

// Subject returns the subject on which a method is called: "rpc.product.v1.ProductService.GetProduct" for
// "/souk.product.v1.ProductService/GetProduct".
func Subject(fullMethod string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(fullMethod, "/"), "souk.")
	return "rpc." + strings.Replace(name, "/", ".", 1)
}

// Conn returns the bare connection, for rpc.NewClient.
func (t *transport) Conn() grpc.ClientConnInterface { return &conn{calls: &t.pending} }

// Serve answers calls with s until stop is called. It fails with errs.Internal when s has an error
// and with errs.Unavailable when the connection is down.
func (t *transport) Serve(ctx context.Context, s *rpc.Server) (stop func(context.Context) error, err error) {
	if err := s.Err(); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "%s cannot be served", s.Service())
	}
	sv := newServing(t, s)
	if err := sv.subscribe(); err != nil {
		sv.cancel()
		return nil, errors.Join(errs.Wrap(err, errs.Unavailable, "NATS takes no subscriptions"), sv.unsubscribe())
	}
	// Once the server has seen the subscriptions, nobody is told that there is no responder.
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

	base   context.Context // of all calls; its end is the hard stop
	cancel context.CancelFunc
	calls  sync.WaitGroup
	spare  chan message // to goroutines that wait
	spares atomic.Int32 // how many wait

	subscriptions []*nats.Subscription
	closed        sync.WaitGroup // of subscriptions
	buffers       sync.Pool
}

// maxSpares is how many goroutines wait for another message. Their stacks have grown to what a call needs: a new
// one's would grow by copying, several times a call.
const maxSpares = 64

// message is a call that came in.
type message struct {
	service string
	msg     *nats.Msg
}

func newServing(t *transport, s *rpc.Server) *serving {
	sv := &serving{transport: t, server: s, spare: make(chan message), methods: map[string]*endpoint{}, started: time.Now().UTC(), id: nats.NewInbox()[len(nats.InboxPrefix):]}
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
		// One subscription a service, so that a method that it does not have is told from a service that is not there.
		prefix := Subject("/" + service + "/")
		err := sv.add(prefix+"*", rpc.Target(service), func(m *nats.Msg) {
			sv.take(message{service, m})
		})
		if err != nil {
			return err
		}
	}
	return sv.discoverable()
}

// add subscribes; without a queue group when that is empty.
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
		end = (*nats.Subscription).Unsubscribe // draining would wait for a server that is not there
	}
	var all []error
	for _, sub := range sv.subscriptions {
		if err := end(sub); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
			all = append(all, fmt.Errorf("unsubscribe from %s: %w", sub.Subject, err))
		}
	}
	return errors.Join(all...)
}

// stop takes no more calls, answers those that have come, and waits until the answers are on their way.
// When ctx ends first, the handlers' contexts end too.
func (sv *serving) stop(ctx context.Context) error {
	defer sv.cancel()
	err := sv.unsubscribe()
	// Every subscription is closed before the calls are waited for: none is added any more.
	for _, group := range []*sync.WaitGroup{&sv.closed, &sv.calls} {
		if waitErr := rpc.WaitFor(ctx, group); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
	if !sv.nc.IsConnected() {
		return err // nobody is there to take the last answers
	}
	if flushErr := flush(ctx, sv.nc); flushErr != nil && !errors.Is(flushErr, nats.ErrConnectionClosed) {
		err = errors.Join(err, errs.Wrap(flushErr, errs.Unavailable, "the last answers may not have been sent"))
	}
	return err
}

// take gives a message to a goroutine that waits, or to a new one.
func (sv *serving) take(m message) {
	sv.calls.Add(1)
	select {
	case sv.spare <- m:
	default:
		go sv.work(m)
	}
}

// work answers one message after another, and waits between them, unless enough others do, until the serving ends.
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

// answer handles one message.
func (sv *serving) answer(service string, m *nats.Msg) {
	defer sv.calls.Done()
	start := time.Now()
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
	if cap(data) <= 64<<10 { // larger ones are rare and not kept
		*buffer = data
	}
	err = sv.nc.Publish(m.Reply, data) // copies
	if errors.Is(err, nats.ErrMaxPayload) {
		return errs.New(errs.Internal, "the answer is too large: %d bytes, and NATS carries at most %d", len(data), sv.nc.MaxPayload())
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
		Traceparent: first(h, headerTraceparent), Tracestate: first(h, headerTracestate),
	}
	if us, err := strconv.ParseInt(first(h, headerTimeout), 10, 64); err == nil {
		out.Timeout = time.Duration(us) * time.Microsecond
	}
	out.Cohort = cohortOf(first(h, headerCohort))
	return out
}

// cohortOf reads a cohort's header; what cannot be read is none.
func cohortOf(s string) cohort.Hint {
	id, size, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(size)
	if err != nil {
		return cohort.Hint{}
	}
	m := cohort.Hint{Size: n}
	if m.ID, err = strconv.ParseUint(id, 36, 64); err != nil {
		return cohort.Hint{}
	}
	return m
}

// first is h.Get for a name that is written as it is read.
func first(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// conn is the caller's side.
type conn struct{ calls *calls }

// NewStream fails with errs.Unimplemented.
func (c *conn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errs.New(errs.Unimplemented, "there are no streams between services")
}

// Invoke calls the method. It fails with errs.Unavailable when nobody serves it, when NATS is away, and when
// the connection breaks before the answer (it is open then what was done), with errs.Timeout when the context ends
// first, with errs.TooLarge when the request is larger than NATS carries, and as identity.Signer.Sign does.
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
	if h.Token == "" && h.Word != nil {
		if h.Token, err = h.Word.Token(); err != nil {
			return err
		}
	}
	m, err := c.calls.do(ctx, &nats.Msg{Subject: Subject(method), Header: headers(h), Data: data})
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
	const most = 7
	out := make(nats.Header, most)
	values := make([]string, 0, most) // one allocation for all of them
	set := func(name, value string) {
		if value != "" {
			values = append(values, value)
			out[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(headerToken, h.Token)
	set(headerIdempotency, h.IdempotencyKey)
	set(headerRequestID, h.RequestID)
	set(headerTraceparent, h.Traceparent)
	set(headerTracestate, h.Tracestate)
	if h.Cohort.Size > 1 {
		set(headerCohort, strconv.FormatUint(h.Cohort.ID, 36)+"/"+strconv.Itoa(h.Cohort.Size))
	}
	if h.Timeout > 0 {
		set(headerTimeout, strconv.FormatInt(h.Timeout.Microseconds(), 10))
	}
	return out
}

func (c *conn) failure(ctx context.Context, method string, size int, err error) error {
	switch {
	case errors.Is(err, errLost): // also when the context has ended since
		return errs.Wrap(err, errs.Unavailable, "%s could not answer: the connection broke", rpc.Target(method)).WithRetryAfter(time.Second)
	case ctx.Err() != nil:
		return errs.From(ctx.Err())
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrDisconnected):
		return rpc.NotServed(method)
	case errors.Is(err, nats.ErrMaxPayload):
		return errs.New(errs.TooLarge, "the request is too large: %d bytes, and NATS carries at most %d", size, c.calls.nc.MaxPayload())
	default:
		return errs.Wrap(err, errs.Unavailable, "%s is out of reach", rpc.Target(method)).WithRetryAfter(time.Second)
	}
}
