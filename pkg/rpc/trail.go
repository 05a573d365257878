package rpc

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/audit"
	"souk/pkg/identity"
)

// trail writes a call into the audit trail. A nil one writes nothing: the caller of the method needs no permission, or has
// none, as a customer who cancels an order.
type trail struct {
	server *Server
	call   audit.Call
	read   bool // the method changes nothing
	object string
	noted  *atomic.Bool // some event of the change carries the call
}

// trail returns the trail of a call. Changes by people with a permission in the marketplace, by members of shops and by API
// keys are recorded, and reads by people with a permission in the marketplace.
func (s *Server) trail(ctx context.Context, m *serverMethod, h Header) *trail {
	name, actor := m.Access.GetPermission(), identity.FromContext(ctx)
	if name == "" || s.options.Record == nil || !actor.IsUser() && !actor.IsKey() {
		return nil
	}
	inShop := m.Access.GetLevel() == optionsv1.Level_LEVEL_SHOP_PERMISSION
	if !actor.Can(name) && (m.ReadOnly || !inShop) {
		return nil
	}
	return &trail{server: s, read: m.ReadOnly, call: audit.Call{
		ActorKind: string(actor.Kind), ActorID: actor.ID, Roles: actor.Roles, Permission: name,
		Method: Target(m.FullMethod) + "." + m.Name, Address: h.Address, RequestID: h.RequestID,
	}}
}

// context returns a context whose events note the call.
func (t *trail) context(ctx context.Context) context.Context {
	if t == nil || t.read {
		return ctx
	}
	ctx, t.noted = audit.NewContext(ctx, t.call)
	return ctx
}

// begin records a read before the handler runs: what is not recorded is not shown.
func (t *trail) begin(ctx context.Context, request proto.Message) error {
	if t == nil {
		return nil
	}
	t.object = objectOf(request.ProtoReflect())
	if !t.read {
		return nil
	}
	return t.write(ctx, audit.ActionRead, audit.ResultOK)
}

// end records a change that failed, or that has no event. It is too late to refuse the call: a failure to record it is
// logged.
func (t *trail) end(ctx context.Context, err error) {
	if t == nil || t.read || err == nil && t.noted.Load() {
		return
	}
	action, result := audit.ActionCalled, audit.ResultOK
	if err != nil {
		action, result = audit.ActionFailed, string(fromAny(err).Code)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := t.write(ctx, action, result); err != nil {
		t.server.options.Logger.Error("a call is missing in the audit trail", zap.String("method", t.call.Method),
			zap.String("actor", t.call.ActorID), zap.String("request_id", t.call.RequestID), zap.Error(err))
	}
}

// recordTimeout bounds the writing of an entry after a call.
const recordTimeout = 2 * time.Second

func (t *trail) write(ctx context.Context, action, result string) error {
	e, err := audit.NewEvent(ctx, t.call, action, t.object, result, time.Now())
	if err != nil {
		return err
	}
	return t.server.options.Record(ctx, e)
}

// objectOf returns the ID of what a request is about: its field id or key, or the first one that ends with _id; "" if it
// has none.
func objectOf(m protoreflect.Message) string {
	fields := m.Descriptor().Fields()
	for _, name := range []protoreflect.Name{"id", "key"} {
		if f := fields.ByName(name); f != nil && f.Kind() == protoreflect.StringKind && !f.IsList() {
			return m.Get(f).String()
		}
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() == protoreflect.StringKind && !f.IsList() && strings.HasSuffix(string(f.Name()), "_id") &&
			m.Has(f) {
			return m.Get(f).String()
		}
	}
	return ""
}
