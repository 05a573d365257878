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
	fails   error // of UpdateProduct
	full    error // of the outbox
	silent  bool  // UpdateProduct makes no event
	served  int
	entries []*auditv1.Recorded
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
	if r.fails != nil {
		return nil, r.fails
	}
	if r.silent {
		return &productv1.UpdateProductResponse{Product: &productv1.Product{}}, nil
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
	for _, a := range []identity.Actor{operator, member, key} {
		r := &recorder{}
		require.NoError(t, r.update(t, a))
		require.Len(t, r.entries, 1)
		require.True(t, proto.Equal(&auditv1.Recorded{
			ActorKind: string(
				a.Kind,
			),
			ActorId:    a.ID,
			Roles:      a.Roles,
			Permission: "product.write",
			Method:     "product.UpdateProduct",
			Action:     "product.updated",
			Object:     "prd_1",
			Result:     "ok",
			Address:    "203.0.113.7",
			RequestId:  "req_1",
		}, r.entries[0]), "%v", r.entries[0])

		r = &recorder{fails: errs.New(errs.Conflict, "secret details")}
		require.Equal(t, errs.Conflict, errs.CodeOf(r.update(t, a)))
		require.Len(t, r.entries, 1)
		require.Equal(t, "failed", r.entries[0].GetAction())
		require.Equal(t, "conflict", r.entries[0].GetResult())
		require.Equal(t, "prd_1", r.entries[0].GetObject())
	}
}

func TestChangeWithoutAnEventIsRecorded(t *testing.T) {
	t.Parallel()
	r := &recorder{silent: true}
	require.NoError(t, r.update(t, operator))
	require.Len(t, r.entries, 1)
	require.Equal(t, "called", r.entries[0].GetAction())
	require.Equal(t, "prd_1", r.entries[0].GetObject())
	require.Equal(t, "ok", r.entries[0].GetResult())

	r.full = errors.New("no disk")
	require.NoError(t, r.update(t, operator), "what is done is done")
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
