package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/pkg/module"
	"souk/pkg/secrets"
	"souk/pkg/tlsconf"
	"souk/pkg/waittest"
)

// TestMutualTLS rotates the authority and all certificates of a souk while customers buy: no request fails. What has no
// certificate, or that of another service, is refused, and a revoked service is out within a minute.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	s := start(t, "split", nil, "--mtls")
	shop := handle("mtls")
	p := s.seller(shop).sell(shop, "TLS", "10.00", 100_000)
	refuseStrangers(t, s)

	l := startLoad(t, s, p.Variants[0].ID, false)
	buys := func(why string) {
		before := l.orders.Load()
		waittest.Until(t, func() bool { return l.orders.Load() > before+10 }, "no orders are taken: %s", why)
	}
	buys("at the start")
	authority := filepath.Join(s.dir, "pki")
	for _, flags := range [][]string{{"--ca"}, nil} {
		reloads := s.serverReloads()
		s.must(append([]string{"pki", "rotate", "--dir", authority}, flags...)...)
		waittest.Until(
			t,
			func() bool { return s.serverReloads() > reloads },
			"the servers do not read their files again",
		)
		buys("after a rotation")
	}
	l.stop()
	require.Zero(t, l.unavailable.Load(), "requests that failed while certificates were rotated")
	require.Zero(t, l.unexpected.Load())
	s.verify() // with the new certificate of operators

	moderator := s.user(email("moderator"), "operator")
	works := func() bool {
		a, err := moderator.do(http.MethodGet, "/v1/operator/reviews", nil)
		require.NoError(t, err)
		return a.status == http.StatusOK
	}
	require.True(t, works())
	s.must("pki", "revoke", "comment", "--dir", authority)
	waittest.Until(t, func() bool { return !works() }, "a revoked service goes on")
	s.must("pki", "issue", "comment", "--service", "comment", "--dir", authority)
	waittest.Until(t, works, "a service with a new certificate is not let in")
}

// serverReloads returns how often PostgreSQL and Redis were made to read their files again.
func (s *souk) serverReloads() int {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "souk.log"))
	require.NoError(s.t, err)
	return strings.Count(string(raw), "the servers' certificates were read again")
}

// refuseStrangers tries what somebody can do who has all passwords and keys of souk, and no certificate, or that of
// another service.
func refuseStrangers(t *testing.T, s *souk) {
	t.Helper()
	var keys struct{ Identity string }
	var state struct {
		Redis     string
		NATS      struct{ URL string }
		Databases map[string]string
	}
	for file, v := range map[string]any{"secrets.json": &keys, "dev.json": &state} {
		raw, err := os.ReadFile(filepath.Join(s.dir, file))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, v))
	}
	files := func(name string) tlsconf.Config {
		dir := filepath.Join(s.dir, "pki", name)
		return tlsconf.Config{
			CAFile: filepath.Join(
				dir,
				"ca.crt",
			),
			CertFile: filepath.Join(dir, "tls.crt"),
			KeyFile:  filepath.Join(dir, "tls.key"),
		}
	}
	connect := func(c tlsconf.Config) error {
		opts, err := module.NATSConfig{
			TLS: c,
		}.Options(
			module.IdentityConfig{Seed: secrets.Plain(keys.Identity)},
			zap.NewNop(),
			"order",
		)
		require.NoError(t, err)
		nc, err := nats.Connect(state.NATS.URL, opts...)
		if err == nil {
			nc.Close()
		}
		return err
	}
	require.NoError(t, connect(files("order")))
	require.Error(t, connect(tlsconf.Config{CAFile: files("order").CAFile}), "NATS lets in who has no certificate")
	require.ErrorIs(t, connect(files("comment")), nats.ErrAuthorization, "NATS takes comment's certificate for order's")

	asOrder := state.Databases["order"]
	open := func(url string) error {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	}
	require.NoError(t, open(asOrder))
	asComment := strings.ReplaceAll(asOrder, "operator%2Ftls", "comment%2Ftls")
	require.NotEqual(t, asOrder, asComment)
	require.Error(t, open(asComment), "PostgreSQL takes comment's certificate for order's")
	plain, _, _ := strings.Cut(asOrder, "?")
	require.Error(t, open(plain+"?sslmode=require"), "PostgreSQL lets in who has no certificate")
	require.Error(t, open(plain+"?sslmode=disable"), "PostgreSQL lets in who has no TLS")

	_, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{state.Redis}, DisableRetry: true})
	require.Error(t, err, "Redis lets in who has no TLS")
}
