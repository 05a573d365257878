package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/natsrpc"
	"souk/pkg/rpc"
	"souk/pkg/secrets"
)

// attacker is a client of NATS that has the key of a service.
type attacker struct {
	t       *testing.T
	nc      *nats.Conn
	key     ed25519.PrivateKey
	refused chan error
}

// natsAccess is how to reach the NATS of a souk with a service's key.
type natsAccess struct {
	url       string
	identity  string // the seed of all keys
	transport string // how services call each other
}

// nats returns what a process of souk knows.
func (s *souk) nats() (n natsAccess) {
	s.t.Helper()
	if d := s.deployment; d != nil {
		return natsAccess{url: d.servers.natsURL(), identity: d.servers.identity, transport: "nats"}
	}
	var secrets struct{ Identity string }
	var state struct {
		Transport string
		NATS      struct{ URL string }
	}
	for file, v := range map[string]any{"secrets.json": &secrets, "dev.json": &state} {
		raw, err := os.ReadFile(filepath.Join(s.dir, file))
		require.NoError(s.t, err)
		require.NoError(s.t, json.Unmarshal(raw, v))
	}
	return natsAccess{url: state.NATS.URL, identity: secrets.Identity, transport: state.Transport}
}

// stealKey connects with a service's key.
func stealKey(t *testing.T, n natsAccess, service string) *attacker {
	seed, err := base64.StdEncoding.DecodeString(n.identity)
	require.NoError(t, err)
	a := &attacker{t: t, key: identity.DeriveKey(seed, service), refused: make(chan error, 100)}
	opts, err := module.NATSConfig{}.Options(
		module.IdentityConfig{Seed: secrets.Plain(n.identity)},
		zap.NewNop(),
		service,
	)
	require.NoError(t, err)
	a.nc, err = nats.Connect(n.url, append(opts, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		a.refused <- err
	}))...)
	require.NoError(t, err)
	t.Cleanup(a.nc.Close)
	return a
}

// denied asserts that NATS refuses what f does.
func (a *attacker) denied(what string, f func() error) {
	a.t.Helper()
	require.NoError(a.t, f(), what)
	require.NoError(a.t, a.nc.FlushTimeout(10*time.Second))
	select {
	case err := <-a.refused:
		require.Contains(a.t, strings.ToLower(err.Error()), "permissions violation", what)
	case <-time.After(10 * time.Second):
		require.Fail(a.t, "NATS allows it", what)
	}
}

// testForgedIdentity attacks souk with the key of one service: what that service may not do is refused by NATS, and
// what it may do is refused by the others if its tokens are forged.
func testForgedIdentity(t *testing.T, s *souk) {
	access := s.nats()
	if access.transport != "nats" {
		return // services in one process can't be reached from outside
	}
	shop := handle("forged")
	p := s.seller(shop).sell(shop, "Forged", "10.00", 5)
	alice := s.user(email("alice"), "customer")
	alice.add(p.Variants[0].ID, 1).want(http.StatusOK)
	order := alice.checkout("tok_ok").order()
	var me struct{ ID string }
	alice.get("/v1/me").want(http.StatusOK).into(&me)

	for node := range strings.SplitSeq(access.url, ",") { // each server asks natsauth
		_, err := nats.Connect(node)
		require.ErrorIs(t, err, nats.ErrAuthorization, "a connection without a token")
		cart := stealKey(t, natsAccess{url: node, identity: access.identity}, "cart")
		subscribe := func(subject, queue string) func() error {
			return func() error {
				_, err := cart.nc.QueueSubscribe(subject, queue, func(*nats.Msg) {})
				return err
			}
		}
		publish := func(subject string) func() error { return func() error { return cart.nc.Publish(subject, nil) } }
		cart.denied("read everything", subscribe(">", ""))
		cart.denied("answer calls of another service", subscribe("rpc.order.v1.OrderService.*", "order"))
		cart.denied("suspend a shop", publish("evt.shop.suspended"))
		cart.denied("keep all calls in a stream", publish("$JS.API.STREAM.CREATE.TAP"))
		cart.denied("refund an order", publish("rpc.payment.v1.PaymentService.Refund"))
		cart.denied("call as a user", publish("rpc.order.v1.OrderService.CancelOrder"))
	}

	thief := stealKey(t, access, "order")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, forged, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	call := func(signer *identity.Signer) (all []error) {
		conn := rpc.NewClient(natsrpc.New(thief.nc, natsrpc.Options{}).Conn(),
			rpc.ClientOptions{Service: identity.Gateway, Signer: signer})
		_, err := cartv1.NewCartServiceClient(conn).GetLines(ctx, &cartv1.GetLinesRequest{OwnerId: me.ID})
		all = append(all, err)
		_, err = productv1.NewProductServiceClient(conn).
			RestockInventory(ctx, &productv1.RestockInventoryRequest{OrderId: order.ID})
		all = append(all, err)
		_, err = paymentv1.NewPaymentServiceClient(conn).
			Refund(ctx, &paymentv1.RefundRequest{OrderId: order.ID, IdempotencyKey: "k"})
		return append(all, err)
	}
	for issuer, key := range map[string]ed25519.PrivateKey{
		"gateway": forged, "order": forged, "unknown": forged, "payment": thief.key,
	} {
		for i, err := range call(identity.NewSigner(issuer, key, time.Minute, clock.System{})) {
			require.True(
				t,
				errs.Is(err, errs.Unauthenticated) || errs.Is(err, errs.Forbidden),
				"%s, call %d: %v",
				issuer,
				i,
				err,
			)
		}
	}
	// A token of the right service for another method.
	token, _, err := identity.NewSigner("order", thief.key, time.Minute, clock.System{}).
		Sign(identity.Service("order"), cartv1.CartService_GetLines_FullMethodName)
	require.NoError(t, err)
	conn := rpc.NewClient(natsrpc.New(thief.nc, natsrpc.Options{}).Conn(), rpc.ClientOptions{Service: identity.Gateway})
	_, err = paymentv1.NewPaymentServiceClient(conn).Refund(identity.WithToken(ctx, token),
		&paymentv1.RefundRequest{OrderId: order.ID, IdempotencyKey: "k"})
	require.True(t, errs.Is(err, errs.Unauthenticated), err)
	thief.denied("call as a user", func() error {
		return thief.nc.Publish(
			"rpc."+strings.ReplaceAll(orderv1.OrderService_CancelOrder_FullMethodName[len("/souk."):],
				"/", "."),
			nil,
		)
	})
	var after orderJSON
	alice.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&after)
	require.NotEqual(t, "cancelled", after.Status)
	require.NotEqual(t, "refunded", after.Payment.Status)
}
