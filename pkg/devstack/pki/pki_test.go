package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/devstack/pki"
	"souk/pkg/tlsconf"
	"souk/pkg/waittest"
)

const domain = "souk.test"

func setup(t *testing.T) (dir string, p pki.PKI) {
	t.Helper()
	dir = t.TempDir()
	p = pki.Open(dir)
	require.NoError(t, p.Init(domain))
	require.NoError(t, p.Issue("server", pki.Names{Hosts: []string{"localhost", "127.0.0.1"}}, pki.Life))
	require.NoError(t, p.Issue("order", pki.Names{Services: []string{"order", "payment"}}, pki.Life))
	return dir, p
}

func open(t *testing.T, c tlsconf.Config) *tlsconf.Source {
	t.Helper()
	require.NoError(t, c.Validate())
	s, err := tlsconf.Open(c, zap.NewNop())
	require.NoError(t, err)
	return s
}

// serve answers connections with the services that the client's certificate names.
func serve(t *testing.T, s *tlsconf.Source) (addr string) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", pki.Server(s))
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c := conn.(*tls.Conn)
			if c.Handshake() == nil {
				for _, name := range tlsconf.Services(c.ConnectionState().PeerCertificates[0], domain) {
					_, _ = io.WriteString(c, name+" ")
				}
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, ln.Close())
		waittest.Receive(t, done)
	})
	return ln.Addr().String()
}

// client returns the configuration of one connection to a server with the name.
func client(t *testing.T, s *tlsconf.Source, name string) *tls.Config {
	t.Helper()
	c := &tls.Config{
		MinVersion:       tls.VersionTLS13,
		RootCAs:          s.Roots(),
		ServerName:       name,
		VerifyConnection: s.CheckRevoked,
	}
	if s.HasCertificate() {
		cert, err := s.Certificate()
		require.NoError(t, err)
		c.Certificates = []tls.Certificate{cert}
	}
	return c
}

// call returns what the server answers.
func call(addr string, c *tls.Config) (string, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, c)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

func TestBothSidesAreVerified(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	addr := serve(t, open(t, p.Config("server")))
	got, err := call(addr, client(t, open(t, p.Config("order")), "127.0.0.1"))
	require.NoError(t, err)
	require.Equal(t, "order payment ", got)

	_, err = call(addr, client(t, open(t, p.Config("order")), "example.com"))
	require.ErrorAs(t, err, &x509.HostnameError{}, "a server of another name")

	anonymous := p.Config("order")
	anonymous.CertFile, anonymous.KeyFile = "", ""
	_, err = call(addr, client(t, open(t, anonymous), "127.0.0.1"))
	require.ErrorContains(t, err, "certificate required")

	_, other := setup(t)
	_, err = call(addr, client(t, open(t, other.Config("order")), "127.0.0.1"))
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError), "a server of another authority")
	stranger := other.Config("order")
	stranger.CAFile, stranger.RevokedFile = p.Config("order").CAFile, ""
	_, err = call(addr, client(t, open(t, stranger), "127.0.0.1"))
	require.ErrorContains(t, err, "certificate required", "a client whose authority the server does not trust")

	_, err = call(addr, client(t, open(t, p.Config("server")), "127.0.0.1"))
	require.NoError(t, err, "a server may be a client")
	old := client(t, open(t, p.Config("order")), "127.0.0.1")
	old.MaxVersion, old.MinVersion = tls.VersionTLS12, tls.VersionTLS12
	_, err = call(addr, old)
	require.ErrorContains(t, err, "protocol version")
}

// The server and the client run on. Files are read again within seconds.
func TestChangedFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	server := open(t, p.Config("server"))
	core, logs := observer.New(zap.WarnLevel)
	source, err := tlsconf.Open(p.Config("order"), zap.New(core))
	require.NoError(t, err)
	addr := serve(t, server)
	works := func() bool { _, err := call(addr, client(t, source, "127.0.0.1")); return err == nil }
	require.True(t, works())
	first, err := source.Certificate()
	require.NoError(t, err)
	certificate := func() []byte {
		c, err := source.Certificate()
		require.NoError(t, err)
		return c.Certificate[0]
	}

	require.NoError(t, p.Rotate(false))
	waittest.Until(
		t,
		func() bool { require.True(t, works()); return string(certificate()) != string(first.Certificate[0]) },
		"the certificate is not read again",
	)

	// A new authority: all sides trust it, and only then does it sign.
	require.NoError(t, p.Rotate(true))
	roots := func(s *tlsconf.Source) int {
		ca, err := os.ReadFile(p.Config("order").CAFile)
		require.NoError(t, err)
		n := 0
		for block, rest := pem.Decode(ca); block != nil; block, rest = pem.Decode(rest) {
			cert, err := x509.ParseCertificate(block.Bytes)
			require.NoError(t, err)
			_, err = cert.Verify(x509.VerifyOptions{Roots: s.Roots()})
			if err == nil {
				n++
			}
		}
		return n
	}
	for _, s := range []*tlsconf.Source{server, source} {
		waittest.Until(
			t,
			func() bool { require.True(t, works()); return roots(s) == 2 },
			"the new authority is not trusted",
		)
	}
	second := certificate()
	require.NoError(t, p.Rotate(false))
	waittest.Until(t, func() bool { require.True(t, works()); return string(certificate()) != string(second) },
		"the certificate of the new authority is not read")

	// Half a file is not used.
	require.NoError(t, os.WriteFile(p.Config("order").CertFile, []byte("-----BEGIN CERTI"), 0o600))
	third := certificate()
	waittest.Until(t, func() bool { require.Equal(t, third, certificate()); return logs.Len() > 0 },
		"the broken file is not read")
	require.True(t, works())

	require.NoError(t, p.Revoke("order"))
	waittest.Until(t, func() bool { return !works() }, "a revoked client is let in")
	_, err = call(addr, client(t, source, "127.0.0.1"))
	require.Error(t, err)
	other, err := p.List()
	require.NoError(t, err)
	require.Equal(t, []string{"order", "server"}, other)
	require.NoError(t, p.Issue("order", pki.Names{Services: []string{"order"}}, pki.Life))
	waittest.Until(t, works, "a new certificate of a revoked name is refused")
}

func TestClientRefusesARevokedServer(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	addr := serve(t, open(t, p.Config("server")))
	require.NoError(t, p.Revoke("server"))
	_, err := call(addr, client(t, open(t, p.Config("order")), "127.0.0.1"))
	require.ErrorIs(t, err, tlsconf.ErrRevoked)
}

func TestRevocationIsOfOneName(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	require.NoError(t, p.Issue("order-two", pki.Names{Services: []string{"order"}}, pki.Life))
	addr := serve(t, open(t, p.Config("server")))
	require.NoError(t, p.Revoke("order"))
	_, err := call(addr, client(t, open(t, p.Config("order-two")), "127.0.0.1"))
	require.NoError(t, err)
}

// A process may still use the certificate of the former authority.
func TestRevocationCoversFormerAuthority(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	old, err := open(t, p.Config("order")).Certificate()
	require.NoError(t, err)
	require.NoError(t, p.Rotate(true))
	require.NoError(t, p.Rotate(false))
	require.NoError(t, p.Revoke("order"))
	now, err := open(t, p.Config("order")).Certificate()
	require.NoError(t, err)
	revoked := open(t, p.Config("server")).Revoked()
	for _, cert := range []*x509.Certificate{old.Leaf, now.Leaf} {
		require.True(t, revoked[tlsconf.CertificateID(cert)], "a certificate of %s", cert.Issuer)
	}
	require.Len(t, revoked, 2)
}

func TestMistakesAreRefused(t *testing.T) {
	t.Parallel()
	dir, p := setup(t)
	require.ErrorContains(t, p.Init(domain), "has an authority already")
	require.ErrorContains(t, pki.Open(t.TempDir()).Init("Souk Test"), "trust domain")
	require.ErrorContains(t, pki.Open(t.TempDir()).Issue("x", pki.Names{}, pki.Life), "souk pki init")
	for _, name := range []string{"", "ca", "../x", `a\b`, ".x"} {
		require.ErrorContains(t, p.Issue(name, pki.Names{}, pki.Life), "cannot name", name)
	}
	require.ErrorContains(t, p.Issue("x", pki.Names{}, time.Second), "at least a minute")
	require.ErrorContains(t, p.Revoke("nobody"), "no certificate")
	require.ErrorContains(t, p.Revoke("ord"), "no certificate", "the begin of a name")

	info, err := os.Stat(p.Config("order").KeyFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	c := p.Config("order")
	c.KeyFile = ""
	require.ErrorContains(t, c.Validate(), "cert_file")
	require.ErrorContains(t, tlsconf.Config{RevokedFile: "x"}.Validate(), "ca_file")
	c = p.Config("order")
	c.KeyFile = p.Config("server").KeyFile
	_, err = tlsconf.Open(c, zap.NewNop())
	require.ErrorContains(t, err, "cert_file")
	c = p.Config("order")
	c.CAFile = filepath.Join(dir, "none")
	_, err = tlsconf.Open(c, zap.NewNop())
	require.True(t, errors.Is(err, os.ErrNotExist), err)
	_, other := setup(t)
	c = p.Config("order")
	c.RevokedFile = other.RevokedFile()
	_, err = tlsconf.Open(c, zap.NewNop())
	require.ErrorContains(t, err, "no authority of ca_file has signed the list")
}
