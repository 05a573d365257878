package rpc_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	auditv1 "souk/gen/go/souk/audit/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/audit"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/rpc"
)

// recorder is a product service, and the outbox that it writes to.
type recorder struct {
	productv1.UnimplementedProductServiceServer
	fails error // of UpdateProduct
	full  error // of the outbox
	// standing is what UpdateProduct does when it has found that the caller is a member; nil: the caller is a stranger.
	standing func(context.Context) error
	before   int // entries that were there before the change
	served   int
	entries  []*auditv1.Recorded
}

func (r *recorder) record(_ context.Context, e event.Event) error {
	if r.full != nil {
		return r.full
	}
	var m auditv1.Recorded
	if err := e.Decode(&m); err != nil {
		return err
	}
	r.entries = append(r.entries, &m)
	return nil
}

func (r *recorder) UpdateProduct(
	ctx context.Context, req *productv1.UpdateProductRequest,
) (*productv1.UpdateProductResponse, error) {
	r.served++
	if r.standing != nil {
		if err := r.standing(ctx); err != nil {
			return nil, err
		}
	}
	r.before = len(r.entries)
	if r.fails != nil {
		return nil, r.fails
	}
	e, err := event.New(ctx, "evt.product.updated", req.GetId(), 1, time.Now(), &productv1.ProductUpdated{})
	if err != nil {
		return nil, err
	}
	for _, e := range audit.Expand([]event.Event{e}) { // as package outbox does
		if audit.IsRecorded(e.Subject) {
			if err := r.record(ctx, e); err != nil {
				return nil, err
			}
		}
	}
	return &productv1.UpdateProductResponse{Product: &productv1.Product{}}, nil
}

// within is what a service does that finds out in a transaction whether the caller is a member.
func (r *recorder) within(ctx context.Context) error {
	for range 2 { // a transaction may be repeated
		events, err := rpc.RecordWith(ctx)
		if err != nil {
			return err
		}
		r.entries = nil
		for _, e := range events {
			if err := r.record(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *recorder) ListShopProducts(
	context.Context, *productv1.ListShopProductsRequest,
) (*productv1.ListShopProductsResponse, error) {
	r.served++
	return &productv1.ListShopProductsResponse{}, nil
}

var (
	operator = identity.Actor{
		Kind:        identity.KindUser,
		ID:          "usr_1",
		Roles:       []string{"operator"},
		Permissions: []string{"product.read", "product.write"},
	}
	member = identity.Actor{Kind: identity.KindUser, ID: "usr_2"}
	key    = identity.Actor{
		Kind: identity.KindKey, ID: "key_1", ShopID: "shp_1", Permissions: []string{"product.read", "product.write"},
	}
)

// call calls a method as an actor, through the gateway.
func (r *recorder) call(t *testing.T, a identity.Actor, method string, req, reply proto.Message) error {
	t.Helper()
	private := identity.DeriveKey(make([]byte, 32), identity.Gateway)
	verifier := identity.NewVerifier(map[string]ed25519.PublicKey{identity.Gateway: public(private)}, clock.System{})
	s := rpc.NewServer(rpc.ServerOptions{Service: "product", Verifier: verifier, Record: r.record})
	productv1.RegisterProductServiceServer(s, r)
	require.NoError(t, s.Err())
	l := rpc.NewLocal()
	stop, err := l.Serve(t.Context(), s)
	require.NoError(t, err)
	defer func() { require.NoError(t, stop(context.WithoutCancel(t.Context()))) }()
	signer := verifier.Signer(identity.Gateway, private, time.Minute)
	ctx := identity.WithAssertion(
		rpc.WithAddress(rpc.WithRequestID(t.Context(), "req_1"), "203.0.113.7"),
		signer.Assert(a),
	)
	conn := rpc.NewClient(l.Conn(), rpc.ClientOptions{Service: identity.Gateway, Signer: signer})
	return conn.Invoke(ctx, "/souk.product.v1.ProductService/"+method, req, reply)
}

func (r *recorder) update(t *testing.T, a identity.Actor) error {
	t.Helper()
	return r.call(
		t,
		a,
		"UpdateProduct",
		&productv1.UpdateProductRequest{Id: "prd_1"},
		&productv1.UpdateProductResponse{},
	)
}

func (r *recorder) list(t *testing.T, a identity.Actor) error {
	t.Helper()
	return r.call(t, a, "ListShopProducts", &productv1.ListShopProductsRequest{ShopId: "shp_1"},
		&productv1.ListShopProductsResponse{})
}

func TestChangesByPeopleWithPermissionsAreRecorded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		actor    identity.Actor
		standing func(*recorder) func(context.Context) error
	}{
		"operator":                {operator, func(*recorder) func(context.Context) error { return nil }},
		"operator, checked again": {operator, func(*recorder) func(context.Context) error { return rpc.Record }},
		"member":                  {member, func(*recorder) func(context.Context) error { return rpc.Record }},
		"member, in a transaction": {
			member, func(r *recorder) func(context.Context) error { return r.within },
		},
		"key": {key, func(*recorder) func(context.Context) error { return rpc.Record }},
	} {
		want := &auditv1.Recorded{
			ActorKind: string(tt.actor.Kind), ActorId: tt.actor.ID, Roles: tt.actor.Roles, Permission: "product.write",
			Method: "product.UpdateProduct", Action: "called", Object: "prd_1", Result: "ok", Address: "203.0.113.7",
			RequestId: "req_1",
		}
		r := &recorder{}
		r.standing = tt.standing(r)
		require.NoError(t, r.update(t, tt.actor), name)
		require.Equal(t, 1, r.before, "%s: it is changed before it is recorded", name)
		require.Len(t, r.entries, 2, name)
		require.True(t, proto.Equal(want, r.entries[0]), "%s: %v", name, r.entries[0])
		want.Action = "product.updated"
		require.True(t, proto.Equal(want, r.entries[1]), "%s: %v", name, r.entries[1])

		r = &recorder{fails: errs.New(errs.Conflict, "secret details")}
		r.standing = tt.standing(r)
		require.Equal(t, errs.Conflict, errs.CodeOf(r.update(t, tt.actor)), name)
		require.Len(t, r.entries, 2, name)
		want.Action, want.Result = "failed", "conflict"
		require.True(t, proto.Equal(want, r.entries[1]), "%s: %v", name, r.entries[1])
	}
}

// A stranger could fill the trail.
func TestStrangersLeaveNoEntries(t *testing.T) {
	t.Parallel()
	for _, a := range []identity.Actor{member, key} {
		r := &recorder{fails: errs.New(errs.NotFound, "there is no such product")}
		require.Equal(t, errs.NotFound, errs.CodeOf(r.update(t, a)))
		require.Empty(t, r.entries)
	}
}

func TestWhatIsNotRecordedIsNotChanged(t *testing.T) {
	t.Parallel()
	r := &recorder{full: errs.Wrap(errors.New("no disk"), errs.Unavailable, "no")}
	require.Equal(t, errs.Unavailable, errs.CodeOf(r.update(t, operator)))
	require.Zero(t, r.served)
	r.standing = rpc.Record
	require.Equal(t, errs.Unavailable, errs.CodeOf(r.update(t, member)))
	require.Empty(t, r.entries)
}

func TestReadsByPeopleOfTheMarketplaceAreRecordedFirst(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	require.NoError(t, r.list(t, operator))
	require.Len(t, r.entries, 1)
	require.Equal(t, "read", r.entries[0].GetAction())
	require.Equal(t, "shp_1", r.entries[0].GetObject())

	r = &recorder{full: errs.Wrap(errors.New("no disk"), errs.Unavailable, "no")}
	require.Equal(t, errs.Unavailable, errs.CodeOf(r.list(t, operator)))
	require.Zero(t, r.served, "it is shown and not recorded")

	for _, a := range []identity.Actor{member, key} {
		r = &recorder{}
		require.NoError(t, r.list(t, a), "what belongs to the own shop")
		require.Empty(t, r.entries)
	}
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
