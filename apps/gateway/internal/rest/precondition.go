package rest

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"souk/pkg/errs"
)

// ifMatchField is the name of the field that takes a request's If-Match. The service compares it with what it is about
// to change, so that no other change comes between.
const ifMatchField = "if_match"

type ifMatchKey struct{}

// withIfMatch returns a request whose calls carry its If-Match to methods that take one.
//
// Errors: invalid_argument (the method takes none: the change would overwrite what the caller does not know).
func withIfMatch(r *http.Request, takesIfMatch bool) (*http.Request, error) {
	match := r.Header.Get("If-Match")
	if match == "" || match == "*" || r.Method == http.MethodGet {
		return r, nil
	}
	if !takesIfMatch {
		return nil, errs.InvalidField("If-Match", "is not possible here")
	}
	return r.WithContext(context.WithValue(r.Context(), ifMatchKey{}, match)), nil
}

// preconditions is a connection that puts the If-Match of withIfMatch into the requests.
type preconditions struct{ grpc.ClientConnInterface }

// Invoke makes the call.
func (c preconditions) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if match, ok := ctx.Value(ifMatchKey{}).(string); ok {
		if request, ok := args.(proto.Message); ok {
			m := request.ProtoReflect()
			if field := m.Descriptor().Fields().ByName(ifMatchField); field != nil {
				m.Set(field, protoreflect.ValueOfString(match))
			}
		}
	}
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}
