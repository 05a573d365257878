package rpc

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ReadOnlyReplies returns a connection for a caller who reads the replies that it gets and changes nothing
// in them, nor in the messages, lists and maps that they hold. Over Local such a reply shares those with
// the message that the handler returned, instead of copying them; other transports make every reply anew
// anyway. The reply itself is the caller's own: what shares is what it holds.
//
// The other side of the promise every handler gives, as with gRPC: once it has returned a message, neither it
// nor anybody else changes it. It may return the same message again.
func ReadOnlyReplies(conn grpc.ClientConnInterface) grpc.ClientConnInterface {
	return readOnlyConn{conn}
}

type readOnlyConn struct{ grpc.ClientConnInterface }

// Invoke calls the method.
func (c readOnlyConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if len(opts) == 0 {
		return c.ClientConnInterface.Invoke(ctx, method, args, reply, onlyReadOnly...)
	}
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, append(slices.Clone(opts), readOnlyOption{})...)
}

// readOnlyOption tells a transport of the promise; to gRPC it means nothing.
type readOnlyOption struct{ grpc.EmptyCallOption }

var onlyReadOnly = []grpc.CallOption{readOnlyOption{}}

func readsOnly(opts []grpc.CallOption) bool {
	for _, o := range opts {
		if _, ok := o.(readOnlyOption); ok {
			return true
		}
	}
	return false
}

// share fills into, which is empty, with the fields of from, and copies none. It is false when they are of different types.
func share(into, from proto.Message) bool {
	to, of := into.ProtoReflect(), from.ProtoReflect()
	if to.Type() != of.Type() {
		return false
	}
	of.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(field, v)
		return true
	})
	if unknown := of.GetUnknown(); len(unknown) > 0 {
		to.SetUnknown(slices.Clip(unknown))
	}
	return true
}
