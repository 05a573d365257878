package rpc

import (
	"context"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"souk/pkg/errs"
)

// Transport carries calls to servers.
type Transport interface {
	// Serve makes the transport answer calls with s until stop is called. stop rejects new calls, waits for those
	// in flight, and returns an error if its context ends first. It may be called twice.
	//
	// Errors: internal (s.Err), unavailable (the transport is down).
	Serve(ctx context.Context, s *Server) (stop func(context.Context) error, err error)
	// Conn returns the bare connection for NewClient.
	Conn() grpc.ClientConnInterface
	// Reach returns nil if the service with that short name, e.g. "product", is served.
	//
	// Errors: unavailable.
	Reach(ctx context.Context, service string) error
}

// Local carries calls within one process, on the caller's goroutine. To behave like a transport between processes
// it copies messages both ways, hides the values of the caller's context and removes the causes of errors.
// Cancellation passes through. [ReadOnlyReplies] avoids the copy of the reply.
type Local struct {
	mu     sync.RWMutex
	served map[string]*served // by protobuf name of the service
}

var (
	_ Transport                = (*Local)(nil)
	_ grpc.ClientConnInterface = (*Local)(nil)
)

// NewLocal returns a Local that serves nothing yet.
func NewLocal() *Local { return &Local{served: map[string]*served{}} }

type served struct {
	server *Server

	mu      sync.RWMutex
	stopped bool
	calls   sync.WaitGroup
}

func (s *served) enter() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.stopped {
		s.calls.Add(1)
	}
	return !s.stopped
}

// Serve answers calls with s.
//
// Errors: internal (s has an error, or one of its services is served already).
func (l *Local) Serve(_ context.Context, s *Server) (stop func(context.Context) error, err error) {
	if err := s.Err(); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "%s cannot be served", s.Service())
	}
	var names []string
	for _, m := range s.Methods() {
		names = append(names, m.Service)
	}
	names = slices.Compact(names)
	entry := &served{server: s}

	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if _, exists := l.served[name]; exists {
			return nil, errs.New(errs.Internal, "%s is served already", name)
		}
	}
	for _, name := range names {
		l.served[name] = entry
	}
	return func(ctx context.Context) error { return l.stop(ctx, entry) }, nil
}

func (l *Local) stop(ctx context.Context, entry *served) error {
	l.mu.Lock()
	for name, e := range l.served {
		if e == entry {
			delete(l.served, name)
		}
	}
	l.mu.Unlock()
	entry.mu.Lock()
	entry.stopped = true
	entry.mu.Unlock()
	return WaitFor(ctx, &entry.calls)
}

// WaitFor waits for the group or the end of the context.
//
// Errors: timeout (the context ended first).
func WaitFor(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		group.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errs.Wrap(ctx.Err(), errs.Timeout, "calls were still running")
	}
}

// Reach returns nil if the service is served.
//
// Errors: unavailable.
func (l *Local) Reach(_ context.Context, service string) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, entry := range l.served {
		if entry.server.Service() == service {
			return nil
		}
	}
	return Absent(service)
}

// Conn returns l, which is also the connection.
func (l *Local) Conn() grpc.ClientConnInterface { return l }

// NewStream always fails: streams are not supported.
//
// Errors: unimplemented.
func (l *Local) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, noStreams()
}

func noStreams() error { return errs.New(errs.Unimplemented, "there are no streams between services") }

// Invoke calls the method on the caller's goroutine.
//
// Errors: those of the method, unavailable (it is not served), timeout (ctx ended).
func (l *Local) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := ctx.Err(); err != nil {
		return errs.From(err)
	}
	in, isIn := args.(proto.Message)
	out, isOut := reply.(proto.Message)
	if !isIn || !isOut {
		return errs.New(errs.Internal, "%s was called with %T and %T", method, args, reply)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	l.mu.RLock()
	entry, ok := l.served[name]
	l.mu.RUnlock()
	if !ok || !entry.enter() {
		return NotServed(method)
	}
	defer entry.calls.Done()

	answer, err := entry.server.Call(isolated{ctx}, method, Outgoing(ctx), func(into any) error {
		if fresh, ok := into.(proto.Message); ok {
			proto.Merge(fresh, in)
		}
		return nil
	})
	if ended := ctx.Err(); ended != nil {
		return errs.From(ended) // as over a network, where the answer would be too late
	}
	if err != nil {
		return withoutCause(errs.From(err))
	}
	proto.Reset(out)
	if isReadOnly(opts) && share(out, answer) {
		return nil
	}
	proto.Merge(out, answer)
	return nil
}

// NotServed returns the error of a call whose service is not running. The call had no effect.
func NotServed(method string) *errs.Error { return Absent(Target(method)) }

// Absent returns the error about a service that no process runs.
func Absent(service string) *errs.Error {
	return errs.New(errs.Unavailable, "%s is not there at the moment", service).WithRetryAfter(shedRetryAfter)
}

// withoutCause copies the parts of an error that may leave a service.
func withoutCause(e *errs.Error) *errs.Error {
	out := &errs.Error{Code: e.Code, Message: e.Message, Fields: slices.Clone(e.Fields), RetryAfter: e.RetryAfter}
	if e.Detail != nil {
		out.Detail = proto.Clone(e.Detail)
	}
	return out
}

// isolated is a context that ends when its parent does and hides the parent's values.
type isolated struct{ context.Context }

// Value returns nil.
func (isolated) Value(any) any { return nil }

// AfterFunc saves a goroutine per derived context: package context uses it if it exists.
func (i isolated) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(i.Context, f) }
