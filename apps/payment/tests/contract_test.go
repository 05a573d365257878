package tests

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/payment"
	"souk/apps/payment/internal/sandbox"
	moneyv1 "souk/gen/go/souk/money/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/migration"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/secrets"
)

func TestContractAuthorizesCapturesAndRefunds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c, ctx := h.order, t.Context()
	orderID := id.New(id.Order)
	authorize := &paymentv1.AuthorizeRequest{
		OrderId:    orderID,
		CustomerId: "usr_1",
		Amount:     &moneyv1.Money{CurrencyCode: "BRL", Amount: "53.98"},
		Method:     "card",
		Token:      sandbox.TokenOK,
	}
	a, err := c.Authorize(ctx, authorize)
	require.NoError(t, err)
	require.Equal(t, "authorized", a.GetPayment().GetStatus())
	require.Equal(t, "0.00", a.GetPayment().GetCaptured().GetAmount())
	captured, err := c.Capture(ctx, &paymentv1.CaptureRequest{OrderId: orderID})
	require.NoError(t, err)
	require.Equal(t, "53.98", captured.GetPayment().GetCaptured().GetAmount())
	refunded, err := c.Refund(
		ctx,
		&paymentv1.RefundRequest{
			OrderId:        orderID,
			IdempotencyKey: "k",
			Amount:         &moneyv1.Money{CurrencyCode: "BRL", Amount: "3.98"},
		},
	)
	require.NoError(t, err)
	require.Equal(t, "partially_refunded", refunded.GetPayment().GetStatus())
	none, err := c.Void(ctx, &paymentv1.VoidRequest{OrderId: id.New(id.Order)})
	require.NoError(t, err)
	require.Nil(t, none.GetPayment(), "a tombstone is not a payment")

	get := &paymentv1.GetPaymentRequest{Id: a.GetPayment().GetId()}
	got, err := h.gateway.GetPayment(h.AsUser("usr_1"), get)
	require.NoError(t, err)
	require.Equal(t, "3.98", got.GetPayment().GetRefunded().GetAmount())
	_, err = h.gateway.GetPayment(h.AsUser("usr_2"), get)
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "another user's: %v", err)

	_, err = h.gateway.Authorize(h.AsUser("usr_1"), authorize)
	require.Contains(t, []errs.Code{errs.Forbidden, errs.NotFound}, errs.CodeOf(err),
		"only the order service is allowed: %v", err)
	_, err = h.gateway.Capture(ctx, &paymentv1.CaptureRequest{OrderId: orderID})
	require.Contains(t, []errs.Code{errs.Forbidden, errs.NotFound}, errs.CodeOf(err),
		"only the order service is allowed: %v", err)
	_, err = c.Capture(ctx, &paymentv1.CaptureRequest{OrderId: "ord_none"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	for _, amount := range []*moneyv1.Money{
		nil, {CurrencyCode: "BRL", Amount: "1.5"}, {CurrencyCode: "XXX", Amount: "1.00"},
		{CurrencyCode: "BRL", Amount: "1e3"},
	} {
		_, err = c.Authorize(
			ctx,
			&paymentv1.AuthorizeRequest{
				OrderId:    id.New(id.Order),
				CustomerId: "usr_1",
				Amount:     amount,
				Method:     "card",
				Token:      "tok_ok",
			},
		)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v: %v", amount, err)
	}
	h.clean(t)
}

func TestMigrationsCanBeRepeated(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, outbox.Migrations())
	for range 2 {
		require.NoError(t, migration.Up(t.Context(), url, "payment", payment.Module.Migrations))
		require.NoError(t, migration.Down(t.Context(), url, "payment", payment.Module.Migrations))
	}
	require.NoError(t, migration.Up(t.Context(), url, "payment", payment.Module.Migrations))
}

// TestSandboxKeepsItsTablesOfAnEarlierRelease: there they were created by payment's own migrations.
func TestSandboxKeepsItsTablesOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	set := sandbox.Migrations()
	tables, err := fs.ReadFile(set.FS, "migrations/000001_sandbox.up.sql")
	require.NoError(t, err)
	pool := pgtest.New(t, outbox.Migrations(), migration.Set{Name: "payment", FS: payment.Module.Migrations})
	findings, err := payment.Module.Verify(t.Context(), pool)
	require.NoError(t, err)
	require.NotEmpty(t, findings, "payment is checked without a sandbox, too")
	_, err = pool.Exec(t.Context(), string(tables))
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(),
		`insert into sandbox.charge (key, status, currency, amount) values ('pay_1', 'authorized', 'BRL', 1)`)
	require.NoError(t, err)
	url := pool.Config().ConnString()
	require.NoError(t, migration.UpAll(t.Context(), url, set))
	var charges int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from sandbox.charge`).Scan(&charges))
	require.Equal(t, 1, charges)
	require.NoError(t, migration.Down(t.Context(), url, set.Name, set.FS))
	require.NoError(t, migration.UpAll(t.Context(), url, set))
}

func TestConfigReportsEveryProblem(t *testing.T) {
	t.Parallel()
	c := payment.Default()
	require.ErrorContains(t, c.Validate(), "provider: is not set; choose a payment provider: sandbox")
	c.Provider = "bank"
	require.ErrorContains(t, c.Validate(), `provider: there is no "bank"; choose from: sandbox`)
	c.Provider = sandbox.Name
	require.NoError(t, c.Validate())
	c.Sandbox.WebhookURL = "ftp://x"
	c.Sandbox.WebhookSecret = secrets.Plain("short")
	c.ProviderTimeout = 0
	err := c.Validate()
	require.ErrorContains(t, err, "sandbox.webhook_url")
	require.ErrorContains(t, err, "sandbox.webhook_secret")
	require.ErrorContains(t, err, "provider_timeout")
}
