package tests

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/order"
	"souk/pkg/migration"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/saga"
)

func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, outbox.Migrations(), saga.Migrations())
	for range 2 {
		require.NoError(t, migration.Up(t.Context(), url, "order", order.Module.Migrations))
		require.NoError(t, migration.Down(t.Context(), url, "order", order.Module.Migrations))
	}
	require.NoError(t, migration.Up(t.Context(), url, "order", order.Module.Migrations))
}

func TestConfigReportsInvalidValues(t *testing.T) {
	t.Parallel()
	require.NoError(t, order.Default().Validate())
	c := order.Default()
	c.Deadline, c.ReserveFor = 0, 0
	c.Shipping = map[string]string{"BRL": "9.9", "XXX": "1.00", "USD": "-1.00"}
	c.Cash.MaxTotal = map[string]string{"BRL": "much"}
	err := c.Validate()
	for _, want := range []string{
		"deadline", "reserve_for", "shipping.BRL", "shipping.XXX", "shipping.USD", "cash.max_total.BRL",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestFailpointsAreListed(t *testing.T) {
	t.Parallel()
	all := strings.Join(order.Failpoints(), " ")
	for _, want := range []string{
		"checkout.before_reserve", "checkout.after_authorize", "checkout.before_confirm", "checkout.after_capture",
		"cancel.before_pay_back",
	} {
		require.Contains(t, all, want)
	}
}
