package tests

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"souk/apps/webhook"
	productv1 "souk/gen/go/souk/product/v1"
	webhookv1 "souk/gen/go/souk/webhook/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestWebhooksAreCreatedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusOK)
	res, err := h.webhook.CreateShopWebhook(h.seller(), &webhookv1.CreateShopWebhookRequest{
		ShopId: "the-shop",
		Url:    "https://erp.example/souk?key=1",
		Events: []string{"evt.order.confirmed", "evt.product.*"},
	})
	require.NoError(t, err)
	w := res.GetWebhook()
	require.Equal(t, shop, w.GetShopId())
	require.Equal(t, "active", w.GetStatus())
	require.NotEmpty(t, w.GetSecret())
	w.Secret = nil
	require.True(t, proto.Equal(w, h.get(w.GetId())), "the secret is shown once")

	changed, err := h.webhook.UpdateWebhook(h.seller(), &webhookv1.UpdateWebhookRequest{Id: w.GetId(), Url: &r.URL})
	require.NoError(t, err)
	require.Equal(t, r.URL, changed.GetWebhook().GetUrl())
	require.Equal(t, w.GetEvents(), changed.GetWebhook().GetEvents(), "absent fields stay")
	require.Nil(t, changed.GetWebhook().Secret)
	again, err := h.webhook.UpdateWebhook(h.seller(), &webhookv1.UpdateWebhookRequest{Id: w.GetId(), Url: &r.URL})
	require.NoError(t, err)
	require.True(t, proto.Equal(changed, again), "a change to the same values changes nothing")
	off, err := h.webhook.UpdateWebhook(h.seller(),
		&webhookv1.UpdateWebhookRequest{Id: w.GetId(), Status: new("disabled"), Events: []string{"*"}})
	require.NoError(t, err)
	require.Equal(t, "manual", off.GetWebhook().GetDisabledReason())
	require.Equal(t, []string{"*"}, off.GetWebhook().GetEvents())

	list, err := h.webhook.ListShopWebhooks(h.seller(), &webhookv1.ListShopWebhooksRequest{ShopId: shop})
	require.NoError(t, err)
	require.True(t, proto.Equal(off.GetWebhook(), list.GetWebhooks()[0]))
	_, err = h.webhook.DeleteWebhook(h.seller(), &webhookv1.DeleteWebhookRequest{Id: w.GetId()})
	require.NoError(t, err)
	_, err = h.webhook.GetWebhook(h.seller(), &webhookv1.GetWebhookRequest{Id: w.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
}

func TestWebhooksOfAShopAreForItsMembersAndOperators(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusOK)
	w, market := h.create(r.URL, "*"), h.createMarketplace(r.URL, "*")
	h.test(w.GetId())
	d := h.ended(w.GetId(), "delivered", 1)
	calls := func(ctx context.Context, webhookID string) map[string]error {
		out := map[string]error{}
		_, out["get"] = h.webhook.GetWebhook(ctx, &webhookv1.GetWebhookRequest{Id: webhookID})
		_, out["update"] = h.webhook.UpdateWebhook(
			ctx,
			&webhookv1.UpdateWebhookRequest{Id: webhookID, Events: []string{"*"}},
		)
		_, out["rotate"] = h.webhook.RotateWebhookSecret(ctx, &webhookv1.RotateWebhookSecretRequest{Id: webhookID})
		_, out["test"] = h.webhook.TestWebhook(ctx, &webhookv1.TestWebhookRequest{Id: webhookID})
		_, out["log"] = h.webhook.ListWebhookDeliveries(ctx, &webhookv1.ListWebhookDeliveriesRequest{Id: webhookID})
		_, out["redeliver"] = h.webhook.RedeliverWebhook(ctx, &webhookv1.RedeliverWebhookRequest{Id: d.GetId()})
		return out
	}
	for call, err := range calls(h.AsUser(visitor), w.GetId()) {
		require.True(t, errs.Is(err, errs.NotFound), "%s: %v", call, err)
	}
	for call, err := range calls(h.operator(), w.GetId()) {
		require.NoError(t, err, call)
	}
	for call, err := range calls(h.seller(), market.GetId()) {
		require.Equal(t, call == "redeliver", err == nil, "%s: %v", call, err) // that is the shop's
	}
	for _, ctx := range []context.Context{h.AsUser(visitor), h.seller()} {
		_, err := h.webhook.DeleteWebhook(ctx, &webhookv1.DeleteWebhookRequest{Id: market.GetId()})
		require.True(t, errs.Is(err, errs.NotFound), err)
		_, err = h.webhook.ListShopWebhooks(ctx, &webhookv1.ListShopWebhooksRequest{ShopId: other})
		require.True(t, errs.Is(err, errs.NotFound), err)
		_, err = h.webhook.ListMarketplaceWebhooks(ctx, &webhookv1.ListMarketplaceWebhooksRequest{})
		require.True(t, errs.Is(err, errs.Forbidden), err)
	}
}

func TestInvalidWebhooksAreRefusedWithTheirField(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, c := range []struct{ field, url, event string }{
		{"url", "ftp://erp.example/", "*"}, {"url", "erp.example", "*"}, {"url", "https://", "*"},
		{"url", "https://user:secret@erp.example/", "*"}, {"url", "https://erp.example/#top", "*"},
		{"url", "https://erp.example/" + strings.Repeat("x", 2048), "*"}, {"url", "javascript:alert(1)", "*"},
		{"events", "https://erp.example/", "evt.order"}, {"events", "https://erp.example/", "evt.*"},
		{"events", "https://erp.example/", "evt.ord*"}, {"events", "https://erp.example/", "evt.order.placed"},
		{"events", "https://erp.example/", "evt.payment.completed"}, {"events", "https://erp.example/", "evt.payment.*"},
		{"events", "https://erp.example/", "order.confirmed"},
	} {
		_, err := h.webhook.CreateShopWebhook(h.seller(),
			&webhookv1.CreateShopWebhookRequest{ShopId: shop, Url: c.url, Events: []string{c.event}})
		require.True(t, errs.Is(err, errs.Invalid), "%v: %v", c, err)
		require.Equal(t, c.field, errs.From(err).Fields[0].Path, "%v", c)
	}
	h.createMarketplace("https://erp.example/", "evt.payment.*", "evt.user.registered")
}

func TestShopHasAtMostTwentyWebhooks(t *testing.T) {
	t.Parallel()
	h := setup(t)
	outcomes := moduletest.Concurrently(25, func(i int) error {
		_, err := h.webhook.CreateShopWebhook(h.seller(), &webhookv1.CreateShopWebhookRequest{
			ShopId: shop, Url: fmt.Sprintf("https://erp.example/%d", i), Events: []string{"*"},
		})
		return err
	})
	created := 0
	for _, err := range outcomes {
		if err == nil {
			created++
			continue
		}
		require.True(t, errs.Is(err, errs.Conflict), err)
	}
	require.Equal(t, 20, created)
	seen, token := 0, ""
	for {
		res, err := h.webhook.ListShopWebhooks(h.seller(),
			&webhookv1.ListShopWebhooksRequest{ShopId: shop, PageSize: 7, PageToken: token})
		require.NoError(t, err)
		seen += len(res.GetWebhooks())
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Equal(t, 20, seen)
}

func TestEarlierSecretsSignForADayAfterARotation(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusOK)
	w := h.create(r.URL, "*")
	secrets := []string{w.GetSecret()}
	rotate := func() error {
		res, err := h.webhook.RotateWebhookSecret(h.seller(), &webhookv1.RotateWebhookSecretRequest{Id: w.GetId()})
		if err == nil {
			require.NotContains(t, secrets, res.GetWebhook().GetSecret())
			secrets = append(secrets, res.GetWebhook().GetSecret())
		}
		return err
	}
	for range 4 {
		require.NoError(t, rotate())
	}
	require.True(t, errs.Is(rotate(), errs.Conflict), "five are valid")
	h.test(w.GetId())
	m := waittest.Receive(t, r.got)
	for _, secret := range secrets {
		require.NoError(t, verify(t, secret, m))
	}
	_, err := h.Pool.Exec(t.Context(), `update webhook_secret set ends_at = ends_at - interval '24 h'`)
	require.NoError(t, err)
	h.test(w.GetId())
	m = waittest.Receive(t, r.got)
	require.NoError(t, verify(t, secrets[4], m))
	for _, secret := range secrets[:4] {
		require.Error(t, verify(t, secret, m), "it has ended")
	}
	require.NoError(t, rotate())
	require.Equal(
		t,
		2,
		moduletest.Value[int](h.Service, `select count(*) from webhook_secret`),
		"the others are deleted",
	)
	require.NotContains(t, h.Logs(), "whsec_")
}

func TestTestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusOK)
	w := h.create(r.URL, "evt.order.*")
	for range 25 {
		h.test(w.GetId())
	}
	require.Equal(t, 20, moduletest.Value[int](h.Service, `select count(*) from delivery`))
}

func TestOldDeliveriesAreForgotten(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusOK)
	w := h.create(r.URL, "*")
	h.Deliver("product", h.event("evt.product.created", &productv1.ProductCreated{ShopId: shop}))
	h.ended(w.GetId(), "delivered", 1)
	_, err := h.Pool.Exec(t.Context(), `update delivery set created_at = created_at - interval '31 days'`)
	require.NoError(t, err)
	h.RunJob("forget_webhook_deliveries", "webhook")
	waittest.Until(t, func() bool { return len(h.deliveries(w.GetId())) == 0 }, "the delivery is not forgotten")
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	require.NoError(t, webhook.Default().Validate())
	for _, change := range []func(*webhook.Config){
		func(c *webhook.Config) { c.Timeout = time.Millisecond },
		func(c *webhook.Config) { c.Timeout = time.Hour },
		func(c *webhook.Config) { c.Concurrency = 0 },
		func(c *webhook.Config) { c.KeepDeliveries = time.Hour },
	} {
		c := webhook.Default()
		change(&c)
		require.Error(t, c.Validate())
	}
}
