package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/natsrpc"
	"souk/pkg/rpc"
)

// testForgedIdentity calls services over NATS with the broker's password but without a service's key.
func testForgedIdentity(t *testing.T, s *souk) {
	raw, err := os.ReadFile(filepath.Join(s.dir, "dev.json"))
	require.NoError(t, err)
	var state struct {
		Transport string
		NATS      struct{ URL, User, Password string }
	}
	require.NoError(t, json.Unmarshal(raw, &state))
	if state.Transport != "nats" {
		return // services in one process can't be reached from outside
	}
	shop := handle("forged")
	p := s.seller(shop).sell(shop, "Forged", "10.00", 5)
	alice := s.user(email("alice"), "customer")
	alice.add(p.Variants[0].ID, 1).want(http.StatusOK)
	order := alice.checkout("tok_ok").order()
	var me struct{ ID string }
	alice.get("/v1/me").want(http.StatusOK).into(&me)

	nc, err := nats.Connect(state.NATS.URL, nats.UserInfo(state.NATS.User, state.NATS.Password))
	require.NoError(t, err)
	defer nc.Close()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	call := func(issuer string, actor identity.Actor) []error {
		signer := identity.NewSigner(issuer, key, time.Minute, clock.System{})
		token, _, err := signer.Sign(actor)
		require.NoError(t, err)
		conn := rpc.NewClient(natsrpc.New(nc, natsrpc.Options{}).Conn(),
			rpc.ClientOptions{Service: issuer, Signer: signer})
		ctx := identity.WithToken(ctx, token)
		_, get := orderv1.NewOrderServiceClient(conn).GetOrder(ctx, &orderv1.GetOrderRequest{Id: order.ID})
		_, cancelled := orderv1.NewOrderServiceClient(conn).CancelOrder(ctx, &orderv1.CancelOrderRequest{Id: order.ID})
		_, lines := cartv1.NewCartServiceClient(conn).GetLines(ctx, &cartv1.GetLinesRequest{OwnerId: me.ID})
		products := productv1.NewProductServiceClient(conn)
		_, restock := products.RestockInventory(ctx, &productv1.RestockInventoryRequest{OrderId: order.ID})
		title := "Stolen"
		_, update := products.UpdateProduct(ctx, &productv1.UpdateProductRequest{Id: p.ID, Title: &title})
		return []error{get, cancelled, lines, restock, update}
	}
	for issuer, actor := range map[string]identity.Actor{
		"gateway": {Kind: identity.KindUser, ID: me.ID, Roles: []string{"customer", "operator"}},
		"order":   identity.Service("order"),
		"unknown": identity.Service("unknown"),
	} {
		for i, err := range call(issuer, actor) {
			require.True(t, errs.Is(err, errs.Unauthenticated), "%s, call %d: %v", issuer, i, err)
		}
	}
	var after orderJSON
	alice.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&after)
	require.NotEqual(t, "cancelled", after.Status)
}
