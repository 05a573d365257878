package devstack_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
	"souk/pkg/devstack/pki"
	"souk/pkg/postgres"
	"souk/pkg/redisx"
	"souk/pkg/tlsconf"
	"souk/pkg/waittest"
)

// newPKI makes an authority with certificates of two services, of the commands of operators and of a server.
func newPKI(t *testing.T) pki.PKI {
	t.Helper()
	p := pki.Open(t.TempDir())
	require.NoError(t, p.Init("souk.test"))
	for _, name := range []string{"order", "cart", devstack.OperatorName} {
		require.NoError(t, p.Issue(name, pki.Names{Services: []string{name}}, time.Hour))
	}
	require.NoError(t, p.Issue("server", pki.Names{Hosts: []string{"127.0.0.1"}}, time.Hour))
	return p
}

// rotateAll makes a new authority, and lets it sign, with a reload of the server after each step.
func rotateAll(t *testing.T, p pki.PKI, reload func(context.Context) error) {
	t.Helper()
	for _, authority := range []bool{true, false} {
		require.NoError(t, p.Rotate(authority))
		require.NoError(t, reload(t.Context()))
	}
}

func TestPostgresRequiresCertificates(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	files := p.Config("server")
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{
		Dir: dataDir(t), Databases: []string{"order", "cart"}, NoSync: true, TLS: &files,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop(context.Background())) }()

	open := func(url string) error {
		pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 1})
		if err == nil {
			pool.Close()
		}
		return err
	}
	require.NoError(t, open(server.TLSURL("order", p.Config("order"))))
	require.NoError(t, open(server.TLSURL("order", p.Config(devstack.OperatorName))))
	require.Error(t, open(server.TLSURL("order", p.Config("cart"))), "the certificate of another role")
	require.Error(t, open(server.TCPURL("order")), "a password instead of a certificate")
	require.Error(t, open(server.URL("order")), "a password, over the socket")

	// A pool goes on with new certificates of a new authority.
	pool, err := postgres.Open(
		t.Context(),
		postgres.Config{URL: server.TLSURL("order", p.Config("order")), MaxConns: 1},
	)
	require.NoError(t, err)
	defer pool.Close()
	rotateAll(t, p, server.ReloadTLS)
	pool.Reset() // closes the connection
	require.NoError(t, pool.Ping(t.Context()))

	// A revoked one is out, and may not come back.
	require.NoError(t, p.Revoke("order"))
	require.NoError(t, server.ReloadTLS(t.Context()))
	waittest.Until(t, func() bool { return pool.Ping(t.Context()) != nil }, "a revoked certificate is let in")
	require.NoError(t, open(server.TLSURL("cart", p.Config("cart"))))
}

func TestRedisRequiresCertificates(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	files := p.Config("server")
	server, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: dataDir(t), TLS: &files})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop(context.Background())) }()

	open := func(c redisx.Config) (rueidis.Client, error) {
		c.Addr = server.TLSAddr()
		return redisx.Open(t.Context(), c)
	}
	_, err = open(redisx.Config{})
	require.Error(t, err, "without TLS")
	_, err = open(redisx.Config{TLS: true, Config: tlsconf.Config{CAFile: files.CAFile}})
	require.Error(t, err, "without a certificate")
	client, err := open(redisx.Config{TLS: true, Config: p.Config("order")})
	require.NoError(t, err)
	defer client.Close()

	rotateAll(t, p, server.ReloadTLS)
	// The server closes the connection. The client reads its files again, which may not be a second old.
	closeAll := func() {
		require.NoError(t, client.Do(t.Context(), client.B().ClientKill().TypeNormal().SkipmeNo().Build()).Error())
	}
	closeAll()
	waittest.Until(t, func() bool { return redisx.Ping(t.Context(), client) == nil }, "no connection with new files")
	other, err := open(redisx.Config{TLS: true, Config: p.Config("cart")})
	require.NoError(t, err)
	other.Close()
}
