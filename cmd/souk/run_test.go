package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/explain"
	"souk/pkg/pgtest"
)

// settingsFile writes a valid configuration, followed by more.
func settingsFile(t *testing.T, postgres, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "souk.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
postgres: `+postgres+`
redis: {addr: "127.0.0.1:1"}
nats: {url: "nats://127.0.0.1:1"}
identity: {seed: `+strings.Repeat("abcd", 11)+`}
`+more), 0o600))
	return path
}

func TestMistakesOfAllTargetsAreReportedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	file := settingsFile(t, `{urls: {cart: "`+url+`"}}`, `
gateway: {max_body: -1, timeout: soon}
cart: {write_back: 1h, currency: x}
telemetry: {sample_ratio: 7}
rpc: {transport: nats}
`)
	status, _, err := souk(t, "run", "--target=cart,gateway", "--migrate", "--config", file)
	require.Equal(t, 1, status)
	for _, want := range []string{
		"gateway: max_body: must be at least 1024 bytes", `gateway.timeout: must be a duration such as "5s", not "soon"`,
		"cart: write_back: must be from 10ms to 2s", "cart: currency: ", "telemetry.sample_ratio: must be from 0 to 1",
	} {
		require.Contains(t, explain.Error(err), want)
	}
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	var tables int
	const countTables = `select count(*) from information_schema.tables where table_schema = 'public'`
	require.NoError(t, conn.QueryRow(t.Context(), countTables).Scan(&tables))
	require.Zero(t, tables)
}

func TestMissingSettingsOfTheTargetsAreReported(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		target, more string
		missing      []string
	}{
		{target: "all", missing: []string{
			"redis.addr: ", "nats.url is not set", "postgres.url is not set", "identity: set seed",
			"auth: issuer: ", "auth: key: ", "notification: smtp_addr: ", "payment: provider: ",
		}},
		{target: "product", more: "product: {cache_ttl: 0s}", missing: []string{
			"nats.url is not set", "postgres.url is not set", "identity: set seed",
		}},
		{target: "gateway", missing: []string{"redis.addr: ", "identity: set seed"}},
		{target: "user", more: "user: {nickname: x}", missing: []string{
			"user.nickname: unknown key", "nats.url", "postgres.url", "identity: ",
		}},
	} {
		path := filepath.Join(t.TempDir(), "souk.yaml")
		require.NoError(t, os.WriteFile(path, []byte(tc.more), 0o600))
		_, _, err := souk(t, "run", "--target", tc.target, "--config", path)
		for _, want := range tc.missing {
			require.ErrorContains(t, err, want, tc.target)
		}
		require.Equal(t, tc.target == "gateway" || tc.target == "all", strings.Contains(err.Error(), "redis.addr"),
			tc.target)
	}
}

func TestSplitWithCallsInOneProcessIsRefused(t *testing.T) {
	t.Parallel()
	status, _, err := souk(t, "run", "--config", settingsFile(t, "{url: x}", ""), "--target=cart,gateway")
	require.Equal(t, 1, status)
	require.Contains(t, explain.Error(err), "rpc: transport: must be nats, because this process does not run address, ")
}

func TestPaymentProviderIsOpenedByNameAlone(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"":                          "payment: provider: is not set; choose a payment provider: sandbox",
		"payment: {provider: bank}": `payment: provider: there is no "bank"; choose from: sandbox`,
	} {
		status, _, err := souk(t, "run", "--config", settingsFile(t, "{url: x}", settings), "--target=payment")
		require.Equal(t, 1, status)
		require.Contains(t, explain.Error(err), want)
	}
}

func TestUnreachableDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	path := settingsFile(t, `{url: "postgres://{service}:{password}@127.0.0.1:1/souk_{service}", `+
		`passwords: {order: s3cret, user: s3cret, product: s3cret}}`, "rpc: {transport: nats}")
	for args, database := range map[string]string{
		"run --target=user": "souk_user", "run --target=user --migrate": "souk_user", "verify": "souk_order",
		"saga ls": "souk_order", "saga show x": "souk_order", "saga resume x": "souk_order",
		"search rebuild": "souk_product", "reviews rebuild": "souk_comment", "migrate status --service order": "souk_order",
	} {
		status, _, err := souk(t, append(strings.Fields(args), "--config", path)...)
		require.Equal(t, 1, status)
		want := `the database "` + database +
			`" at 127.0.0.1:1 can't be opened: connection refused; see that PostgreSQL runs there`
		require.Contains(t, explain.Error(err), want, args)
		require.NotContains(t, explain.Error(err), "s3cret")
	}
}
