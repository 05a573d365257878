package natsauth_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/pkg/clock"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/devstack/pki"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/natsauth"
	"souk/pkg/natstest"
	"souk/pkg/secrets"
	"souk/pkg/tlsconf"
	"souk/pkg/waittest"
)

const domain = "souk.test"

// certified is a server that requires certificates, and the authority that issues them.
type certified struct {
	t       *testing.T
	pki     pki.PKI
	server  *natsserver.Server
	revoked func() map[string]bool
}

func setupCertified(t *testing.T) *certified {
	t.Helper()
	c := &certified{t: t, pki: pki.Open(t.TempDir())}
	require.NoError(t, c.pki.Init(domain))
	require.NoError(t, c.pki.Issue("nats", pki.Names{Hosts: []string{"127.0.0.1"}}, pki.Life))
	for _, name := range []string{"product", "order"} {
		require.NoError(t, c.pki.Issue(name, pki.Names{Services: []string{name}}, pki.Life))
	}
	source, err := tlsconf.Open(c.pki.Config("nats"), zap.NewNop())
	require.NoError(t, err)
	c.revoked = source.Revoked
	keys, err := natsauth.DeriveKeys(seed)
	require.NoError(t, err)
	issuer, box, err := keys.Public()
	require.NoError(t, err)
	// The server itself does not know what is revoked, like one that is not embedded.
	ignorant, err := tlsconf.Open(tlsconf.Config{
		CAFile:   c.pki.Config("nats").CAFile,
		CertFile: c.pki.Config("nats").CertFile, KeyFile: c.pki.Config("nats").KeyFile,
	}, zap.NewNop())
	require.NoError(t, err)
	c.server = natstest.Start(t, natsserver.Options{
		StoreDir:       t.TempDir(),
		NoSync:         true,
		User:           natsauth.User,
		Password:       keys.Password,
		SystemPassword: keys.SystemPassword,
		TLS:            pki.Server(ignorant),
		Callout:        &natsserver.Callout{Issuer: issuer, Box: box},
	})
	trusted := map[string]ed25519.PublicKey{}
	for _, name := range []string{"product", "order"} {
		trusted[name] = identity.DeriveKey(seed, name).Public().(ed25519.PublicKey)
	}
	require.NoError(
		t,
		natsauth.Respond(natstest.Connect(t, c.server), keys, identity.NewVerifier(trusted, clock.System{}),
			natsauth.Certificates{Domain: domain, Revoked: c.revoked}, zap.NewNop()),
	)
	system := natstest.Connect(t, c.server, nats.UserInfo(natsauth.SystemUser, keys.SystemPassword))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		natsauth.EndRevoked(ctx, system, c.revoked, zap.NewNop())
	}()
	t.Cleanup(func() {
		cancel()
		waittest.Receive(t, done)
	})
	return c
}

// connect connects with the token of a service and a certificate.
func (c *certified) connect(service, certificate string, more ...nats.Option) (*nats.Conn, error) {
	c.t.Helper()
	config := module.NATSConfig{TLS: c.pki.Config(certificate)}
	require.NoError(c.t, config.Validate())
	opts, err := config.Options(module.IdentityConfig{Keys: secrets.PlainMap(map[string]string{
		service: encodeSeed(identity.DeriveKey(seed, service)),
	})}, zap.NewNop(), service)
	require.NoError(c.t, err)
	nc, err := nats.Connect(c.server.Address(), append(opts, more...)...)
	if err == nil {
		c.t.Cleanup(nc.Close)
	}
	return nc, err
}

func TestConnectionsNeedACertificateOfTheirServices(t *testing.T) {
	t.Parallel()
	c := setupCertified(t)
	nc, err := c.connect("order", "order")
	require.NoError(t, err)
	require.NoError(t, nc.FlushTimeout(10*time.Second))
	_, err = c.connect("order", "product")
	require.ErrorIs(t, err, nats.ErrAuthorization, "the certificate of another service")
	_, err = c.connect("order", "nats")
	require.ErrorIs(t, err, nats.ErrAuthorization, "a certificate of no service")
	_, err = nats.Connect(strings.Replace(c.server.Address(), "tls://", "nats://", 1))
	require.Error(t, err, "a connection without TLS")
	require.Error(t, func() error {
		ca, err := tlsconf.Open(tlsconf.Config{CAFile: c.pki.Config("order").CAFile}, zap.NewNop())
		require.NoError(t, err)
		_, err = nats.Connect(c.server.Address(), nats.Secure(&tls.Config{RootCAs: ca.Roots()}))
		return err
	}(), "a connection without a certificate")
	_, err = nats.Connect(c.server.Address(), nats.Secure())
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError), "a server of an unknown authority")
}

// The files change under connections that call all the time. None breaks, and new ones are made with the new files.
func TestRotationBreaksNoConnection(t *testing.T) {
	t.Parallel()
	c := setupCertified(t)
	var lost atomic.Int64
	counted := nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
		if err != nil {
			lost.Add(1)
		}
	})
	product, err := c.connect("product", "product", counted)
	require.NoError(t, err)
	_, err = product.QueueSubscribe("rpc.product.v1.ProductService.*", "product",
		func(m *nats.Msg) { _ = m.Respond([]byte("answer")) })
	require.NoError(t, err)
	require.NoError(t, product.FlushTimeout(10*time.Second))
	order, err := c.connect("order", "order", counted)
	require.NoError(t, err)
	call := func(nc *nats.Conn) {
		_, err := nc.Request("rpc.product.v1.ProductService.ReserveInventory", nil, 10*time.Second)
		require.NoError(t, err)
	}
	for _, authority := range []bool{false, true, false} {
		require.NoError(t, c.pki.Rotate(authority))
		began := time.Now()
		for time.Since(began) < 2500*time.Millisecond { // the files are looked at each second
			call(order)
			fresh, err := c.connect("order", "order")
			require.NoError(t, err)
			call(fresh)
			fresh.Close()
		}
	}
	require.Zero(t, lost.Load())
}

func TestRevokedCertificatesLoseTheirConnections(t *testing.T) {
	t.Parallel()
	c := setupCertified(t)
	lost := make(chan struct{}, 100)
	_, err := c.connect("order", "order", nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }))
	require.NoError(t, err)
	product, err := c.connect("product", "product", nats.NoReconnect())
	require.NoError(t, err)
	revoked := time.Now()
	require.NoError(t, c.pki.Revoke("order"))
	waittest.Receive(t, lost)
	require.Less(t, time.Since(revoked), time.Minute)
	_, err = c.connect("order", "order")
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.NoError(t, product.FlushTimeout(10*time.Second), "another service's connection stays")
	require.NoError(t, c.pki.Issue("order", pki.Names{Services: []string{"order"}}, pki.Life))
	_, err = c.connect("order", "order")
	require.NoError(t, err)
}

func encodeSeed(key ed25519.PrivateKey) string { return base64.StdEncoding.EncodeToString(key.Seed()) }
