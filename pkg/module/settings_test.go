package module_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/secrets"
	"souk/pkg/waittest"
)

func TestConfigErrorsNameSectionAndKey(t *testing.T) {
	t.Parallel()
	use := func(f func(context.Context, *module.Platform) error) module.Module {
		return module.Module{
			Name: "order",
			Build: func(ctx context.Context, p *module.Platform) (module.Runnable, error) {
				return module.Group(), f(ctx, p)
			},
		}
	}
	none := use(func(context.Context, *module.Platform) error { return nil })
	for name, tc := range map[string]struct {
		settings map[string]any
		module   module.Module
		want     []string
	}{
		"log level":   {map[string]any{"log": map[string]any{"level": "loud"}}, none, []string{"log", "level"}},
		"unknown key": {map[string]any{"rpc": map[string]any{"colour": "red"}}, none, []string{"rpc", "colour"}},
		"transport": {
			map[string]any{"rpc": map[string]any{"transport": "pigeon"}}, none,
			[]string{"rpc", "transport", "pigeon"},
		},
		"max conns": {
			map[string]any{"postgres": map[string]any{"max_conns": 0}}, none, []string{"postgres", "max_conns"},
		},
		"no identity": {map[string]any{"identity": map[string]any{}}, none, []string{"identity", "seed"}},
		"short seed": {
			map[string]any{"identity": map[string]any{"seed": "YQ=="}}, none, []string{"identity", "seed"},
		},
		"wrong key": {map[string]any{
			"identity": map[string]any{"keys": map[string]any{"order": "x"}, "trusted": map[string]any{"order": "x"}},
		}, none, []string{"identity.keys.order"}},
		"own section": {
			map[string]any{"order": map[string]any{"size": "big"}},
			use(func(_ context.Context, p *module.Platform) error { return p.Config(&struct{ Size int }{}) }),
			[]string{"order", "size"},
		},
		"no postgres": {
			nil, use(func(ctx context.Context, p *module.Platform) error { _, err := p.Postgres(ctx); return err }),
			[]string{"postgres.url"},
		},
		"no redis": {
			nil, use(func(ctx context.Context, p *module.Platform) error { _, err := p.Redis(ctx); return err }),
			[]string{"redis", "addr"},
		},
		"no nats": {
			nil, use(func(ctx context.Context, p *module.Platform) error { _, err := p.JetStream(ctx); return err }),
			[]string{"nats.url"},
		},
		"admin in use": {
			map[string]any{"admin": map[string]any{"addr": "127.0.0.1:99999"}}, none, []string{"admin.addr"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := module.Run(t.Context(), module.Options{Config: settings(t, tc.settings), Logs: io.Discard},
				tc.module)
			require.Error(t, err)
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	err := settings(t, map[string]any{"oder": map[string]any{}}).CheckSections(append(module.Sections(), "order")...)
	require.ErrorContains(t, err, "oder")
}

func TestServicesCanHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	keys, trusted := map[string]any{}, map[string]any{}
	for i, name := range []string{"product", "order"} {
		raw := bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize)
		keys[name] = base64.StdEncoding.EncodeToString(raw)
		trusted[name] = base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(raw).Public().(ed25519.PublicKey))
	}
	keys["cart"] = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, ed25519.SeedSize)) // no service trusts it
	var j journal
	c := &catalogue{from: make(chan identity.Actor, 1)}
	var order, cart productv1.ProductServiceClient
	p := start(
		t,
		module.Options{
			Config: settings(t, map[string]any{"identity": map[string]any{"keys": keys, "trusted": trusted}}),
		},
		c.module(&j),
		caller("order", &order),
		caller("cart", &cart),
	)
	_, err := order.BatchGetVariants(t.Context(), &productv1.BatchGetVariantsRequest{VariantIds: []string{"var_1"}})
	require.NoError(t, err)
	require.Equal(t, "order", waittest.Receive(t, c.from).ID)
	_, err = cart.BatchGetVariants(t.Context(), &productv1.BatchGetVariantsRequest{VariantIds: []string{"var_1"}})
	require.Equal(t, errs.Unavailable, errs.CodeOf(err),
		"not a refusal of its actor, and the key may become known: %v", err)
	require.ErrorContains(t, err, "its issuer is unknown")
	require.NoError(t, p.end())
}

func TestServiceURLIsFilledIn(t *testing.T) {
	t.Parallel()
	c := module.PostgresConfig{
		URL:       secrets.Plain("postgres://{service}:{password}@db/{service}"),
		URLs:      secrets.PlainMap(map[string]string{"order": "postgres://{user}:{password}@orders/{service}"}),
		Users:     secrets.PlainMap(map[string]string{"order": "v/1"}),
		Passwords: secrets.PlainMap(map[string]string{"order": "a/b c", "cart": "d"}),
	}
	for service, want := range map[string]string{
		"order": "postgres://v%2F1:a%2Fb%20c@orders/order",
		"cart":  "postgres://cart:d@db/cart",
	} {
		got, err := c.ServiceURL(service)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := module.PostgresConfig{}.ServiceURL("order")
	require.ErrorContains(t, err, "postgres.url is not set")
}
