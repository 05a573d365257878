package rpc

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ReadOnlyReplies returns a connection for a caller that does not modify the messages, lists and maps inside the
// replies it receives. Over [Local] such a reply shares them with the handler's message instead of copying them.
// Other transports decode a new message for every reply anyway. The caller owns the top-level reply message.
//
// In return, as with gRPC, a message must not be modified after a handler has returned it. A handler may return
// the same message again.
func ReadOnlyReplies(conn grpc.ClientConnInterface) grpc.ClientConnInterface {
	return readOnlyConn{conn}
}

type readOnlyConn struct{ grpc.ClientConnInterface }

// Invoke calls the method.
func (c readOnlyConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if len(opts) == 0 {
		return c.ClientConnInterface.Invoke(ctx, method, args, reply, readOnlyOptions...)
	}
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, append(slices.Clone(opts), readOnlyOption{})...)
}

// readOnlyOption marks a call made through ReadOnlyReplies. It means nothing to gRPC.
type readOnlyOption struct{ grpc.EmptyCallOption }

var readOnlyOptions = []grpc.CallOption{readOnlyOption{}}

func isReadOnly(opts []grpc.CallOption) bool {
	for _, o := range opts {
		if _, ok := o.(readOnlyOption); ok {
			return true
		}
	}
	return false
}

// share sets the fields of into, which must be empty, to those of from without copying them. It returns false if
// the types differ.
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
