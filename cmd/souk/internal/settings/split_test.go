package settings_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/auth"
	"souk/apps/cart"
	"souk/apps/natsauth"
	"souk/apps/order"
	"souk/cmd/souk/internal/settings"
	"souk/pkg/config"
	"souk/pkg/identity"
	"souk/pkg/module"
)

var (
	seed    = []byte(strings.Repeat("s", 32))
	splitOf = []module.Module{natsauth.Module, cart.Module, order.Module, auth.Module}
	authKey = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	whole   = `
postgres:
  url: "postgres://{service}:{password}@db:5432/{service}"
  passwords: {order: order-password, cart: "file:/run/secrets/cart"}
redis: {addr: "redis:6379", password: redis-password}
nats: {url: "nats://nats:4222"}
rpc: {transport: nats}
identity: {seed: "` + base64.StdEncoding.EncodeToString(seed) + `"}
auth: {issuer: "https://id.example", client_id: souk, key: "` + authKey + `"}
order: {deadline: 12s, cash: {max_total: {BRL: "7.00"}}}
`
)

func load(t *testing.T, text string) *config.Tree {
	t.Helper()
	path := filepath.Join(t.TempDir(), "souk.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	tree, err := settings.Load(path, nil)
	require.NoError(t, err)
	return tree
}

func TestSplitGivesEachServiceItsOwnSecretsOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var warnings bytes.Buffer
	require.NoError(t, settings.Split(load(t, whole), splitOf,
		settings.SplitOptions{Out: dir, Secrets: filepath.Join(dir, "secrets")}, io.Discard, &warnings))
	require.Contains(t, warnings.String(), "natsauth.secret is unset")

	// All that a service can read, by its name.
	readable := map[string]string{}
	for _, m := range splitOf {
		raw, err := os.ReadFile(filepath.Join(dir, m.Name+".yaml"))
		require.NoError(t, err)
		readable[m.Name] = string(raw)
		files, err := filepath.Glob(filepath.Join(dir, "secrets", m.Name, "*"))
		require.NoError(t, err)
		for _, f := range append(files, filepath.Join(dir, m.Name+".yaml")) {
			info, err := os.Stat(f)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode(), f)
			raw, err := os.ReadFile(f)
			require.NoError(t, err)
			readable[m.Name] += string(raw)
		}
		tree := load(t, mustRead(t, filepath.Join(dir, m.Name+".yaml")))
		id := module.DefaultIdentity()
		require.NoError(t, tree.Decode("identity", &id))
		key, err := id.Key(m.Name)
		require.NoError(t, err)
		require.Equal(t, identity.DeriveKey(seed, m.Name), key, "tokens stay valid")
		require.Len(t, id.Keys, 1)
		require.Equal(t, base64.StdEncoding.EncodeToString(
			identity.DeriveKey(seed, "order").Public().(ed25519.PublicKey)), id.Trusted["order"])
	}
	for secret, of := range map[string][]string{
		"order-password":                        {"order"},
		"file:/run/secrets/cart":                {"cart"},
		"redis-password":                        {"auth", "cart"},
		authKey:                                 {"auth"},
		base64.StdEncoding.EncodeToString(seed): {"natsauth"},
	} {
		for _, m := range splitOf {
			has := strings.Contains(readable[m.Name], secret)
			require.Equal(t, slices.Contains(of, m.Name), has, "%s and %s", m.Name, secret)
		}
	}
	require.Contains(t, readable["order"], "deadline: 12s")
	require.Contains(t, readable["order"], "BRL: \"7.00\"", "an entry of a map that has defaults")
	require.NotContains(t, readable["cart"], "deadline")
	require.NotContains(t, mustRead(t, filepath.Join(dir, "order.yaml")), "order-password")

	operator := load(t, mustRead(t, filepath.Join(dir, "operator.yaml")))
	postgres := module.DefaultPostgres()
	require.NoError(t, operator.Parse(config.Section{Name: "postgres", Into: &postgres}))
	require.Len(t, postgres.Passwords, 2)
	id := module.DefaultIdentity()
	require.NoError(t, operator.Decode("identity", &id))
	_, err := id.Key("operator")
	require.NoError(t, err)
	require.Len(t, id.Keys, 1)
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

func TestSplitKeepsSecretsInTheFilesByDefault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, settings.Split(load(t, whole), splitOf, settings.SplitOptions{Out: dir}, io.Discard, io.Discard))
	require.Contains(t, mustRead(t, filepath.Join(dir, "order.yaml")), "order: order-password")
	o := settings.SplitOptions{Out: dir, Secrets: filepath.Join(dir, "s"), SecretsPath: "/run/secrets"}
	require.NoError(t, settings.Split(load(t, whole), splitOf, o, io.Discard, io.Discard))
	require.Contains(t, mustRead(t, filepath.Join(dir, "order.yaml")),
		"order: file:/run/secrets/order/postgres.passwords.order")
}

func TestShowPrintsDefaultsAndNoSecrets(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, settings.Show(load(t, whole), splitOf, &out))
	for _, want := range []string{
		"order: '[redacted]'", "cart: file:/run/secrets/cart", "url: nats://nats:4222", "max_conns: 10", "deadline: 12s",
		"issuer: https://id.example",
	} {
		require.Contains(t, out.String(), want)
	}
	for _, secret := range []string{"order-password", "redis-password", authKey, base64.StdEncoding.EncodeToString(seed)} {
		require.NotContains(t, out.String(), secret)
	}
}
