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
	"souk/pkg/event"
	"souk/pkg/identity"
)

// trail writes a call into the audit trail. A nil one writes nothing: the method needs no permission, or its caller
// acts as anybody may, as a customer who cancels an order.
type trail struct {
	server *Server
	call   audit.Call
	read   bool // the method changes nothing
	// everywhere: the caller has the permission in the whole marketplace. Otherwise the service finds out.
	everywhere bool
	object     string
	recorded   atomic.Bool // by record
	within     atomic.Bool // by RecordWith
}

// trail returns the trail of a call. What people with a permission in the marketplace do and read is recorded, and what
// members of shops and API keys do.
func (s *Server) trail(ctx context.Context, m *serverMethod, h Header) *trail {
	name, actor := m.Access.GetPermission(), identity.FromContext(ctx)
	if name == "" || s.options.Record == nil || !actor.IsUser() && !actor.IsKey() {
		return nil
	}
	everywhere := actor.Can(name)
	inShop := m.Access.GetLevel() == optionsv1.Level_LEVEL_SHOP_PERMISSION
	if !everywhere && (m.ReadOnly || !inShop) {
		return nil
	}
	return &trail{server: s, read: m.ReadOnly, everywhere: everywhere, call: audit.Call{
		ActorKind: string(actor.Kind), ActorID: actor.ID, Roles: actor.Roles, Permission: name,
		Method: Target(m.FullMethod) + "." + m.Name, Address: h.Address, RequestID: h.RequestID,
	}}
}

// context returns a context whose events note the call.
func (t *trail) context(ctx context.Context) context.Context {
	if t == nil || t.read {
		return ctx
	}
	return audit.NewContext(ctx, t.call)
}

// begin records the call of somebody with the permission in the whole marketplace before the handler runs: what is not
// recorded is neither done nor shown.
func (t *trail) begin(ctx context.Context, request proto.Message) error {
	if t == nil {
		return nil
	}
	t.object = objectOf(request.ProtoReflect())
	if !t.everywhere {
		return nil
	}
	return t.record(ctx)
}

// Record writes the call that is being served into the audit trail, unless it is there or need not be. Package
// membership calls it when it has found that the caller has the permission in a shop, before anything is changed.
// Strangers to a shop leave no entries: anybody could fill the trail.
//
// Errors: unavailable. The call must not go on.
func Record(ctx context.Context) error { return callFrom(ctx).trail.record(ctx) }

func (t *trail) record(ctx context.Context) error {
	if t == nil || !t.recorded.CompareAndSwap(false, true) {
		return nil
	}
	e, err := t.begun()
	if err == nil {
		err = t.server.options.Record(ctx, e)
	}
	if err != nil {
		t.recorded.Store(false)
	}
	return err
}

// RecordWith returns the event that [Record] would write, for a transaction that finds out itself whether the caller
// has the permission, and may be repeated. It is empty if nothing is to be recorded.
//
// Errors: invalid_argument.
func RecordWith(ctx context.Context) ([]event.Event, error) {
	t := callFrom(ctx).trail
	if t == nil || t.recorded.Load() {
		return nil, nil
	}
	t.within.Store(true)
	e, err := t.begun()
	return []event.Event{e}, err
}

// begun returns the event of the call.
func (t *trail) begun() (event.Event, error) {
	action := audit.ActionCalled
	if t.read {
		action = audit.ActionRead
	}
	return audit.NewEvent(t.call, action, t.object, audit.ResultOK, time.Now())
}

// failed records that a recorded call failed. A failure to do so is logged only: the call itself is recorded.
func (t *trail) failed(ctx context.Context, err error) {
	if t == nil || !t.recorded.Load() && !t.within.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	e, failure := audit.NewEvent(t.call, audit.ActionFailed, t.object, string(fromAny(err).Code), time.Now())
	if failure == nil {
		failure = t.server.options.Record(ctx, e)
	}
	if failure != nil {
		t.server.options.Logger.Error("the failure of a call is missing in the audit trail",
			zap.String("method", t.call.Method), zap.String("actor", t.call.ActorID),
			zap.String("request_id", t.call.RequestID), zap.Error(failure))
	}
}

// recordTimeout bounds the writing of an entry for a call that failed.
const recordTimeout = 2 * time.Second

// objectOf returns the ID of what a request is about: its field id or key, or the first one that ends with _id; "" if
// it has none.
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
