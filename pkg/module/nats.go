package module

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"souk/gen/go/souk/services"
	"souk/pkg/clock"
	"souk/pkg/identity"
	"souk/pkg/natsauth"
	"souk/pkg/secrets"
	"souk/pkg/tlsconf"
)

// NATSConfig configures the connection to NATS.
type NATSConfig struct {
	// URL lists the URLs of the NATS servers, separated by commas.
	URL secrets.Value `yaml:"url"`
	// User and Password are credentials that the servers require of all processes. Unset: a process connects as the
	// services that it runs; see package natsauth.
	User     secrets.Value `yaml:"user"`
	Password secrets.Value `yaml:"password"`
	// Credentials is the path of a NATS credentials file.
	Credentials string `yaml:"credentials"`
	// TLS are the files for connections by TLS. If any is set, or the URLs begin with tls://, servers without TLS are
	// refused.
	TLS tlsconf.Config `yaml:"tls"`
}

// Validate checks the configuration.
func (c NATSConfig) Validate() error {
	if err := c.TLS.Validate(); err != nil {
		return fmt.Errorf("tls.%w", err)
	}
	return nil
}

// Options returns the options to connect as services, or as natsauth.Operator: with the configured credentials, or else
// with a token that is signed by their keys.
//
// Errors: those of IdentityConfig.Key.
func (c NATSConfig) Options(id IdentityConfig, log *zap.Logger, names ...string) ([]nats.Option, error) {
	opts, err := c.tls(log)
	if err != nil {
		return nil, err
	}
	if c.shared() {
		return append(opts, c.credentials()...), nil
	}
	keys := map[string]ed25519.PrivateKey{}
	for _, name := range names {
		key, err := id.Key(name)
		if err != nil {
			return nil, err
		}
		keys[name] = key
	}
	token := func() string {
		token, err := identity.ConnectToken(keys, clock.System{})
		if err != nil {
			return "" // the server refuses it; a valid key signs always
		}
		return token
	}
	return append(opts,
		nats.TokenHandler(token),
		nats.CustomInboxPrefix(natsauth.InboxPrefix(names[0])),
		nats.IgnoreAuthErrorAbort(), // natsauth may start later than this process
	), nil
}

// tls returns the options for TLS, which read the files again at each connection.
func (c NATSConfig) tls(log *zap.Logger) ([]nats.Option, error) {
	if c.TLS == (tlsconf.Config{}) {
		return nil, nil
	}
	source, err := tlsconf.Open(c.TLS, log)
	if err != nil {
		return nil, fmt.Errorf("nats.tls: %w", err)
	}
	return []nats.Option{
		nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13, VerifyConnection: source.CheckRevoked}),
		func(o *nats.Options) error {
			o.RootCAsCB = func() (*x509.CertPool, error) { return source.Roots(), nil }
			if source.HasCertificate() {
				o.TLSCertCB = source.Certificate
			}
			return nil
		},
	}, nil
}

// shared reports whether all processes have the same credentials. They may be part of the URL.
func (c NATSConfig) shared() bool {
	return c.User.IsSet() || c.Credentials != "" || strings.Contains(c.URL.Get(), "@")
}

func (c NATSConfig) credentials() []nats.Option {
	var opts []nats.Option
	if c.User.IsSet() {
		opts = append(opts, nats.UserInfoHandler(func() (user, password string) {
			now := secrets.Read(c.User, c.Password)
			return now[0], now[1]
		}))
	}
	if c.Credentials != "" {
		opts = append(opts, nats.UserCredentials(c.Credentials))
	}
	return opts
}

// AuthorityConn opens a connection to NATS for the service that answers the server's questions about other connections.
// It connects as user with a password, and shared is false; or, if all processes have the same credentials, with these.
func (p *Platform) AuthorityConn(user, password string) (nc *nats.Conn, shared bool, err error) {
	c, err := resolve[NATSConfig](p.shared)
	if err != nil {
		return nil, false, err
	}
	opts, err := c.tls(p.shared.logger)
	if err != nil {
		return nil, false, err
	}
	opts = append(opts, c.credentials()...)
	if !c.shared() {
		opts = append(opts, nats.UserInfo(user, password))
	}
	nc, err = p.shared.connectNATS(c, append(opts, p.shared.embedded...)...)
	return nc, c.shared(), err
}

// ConnectVerifier returns a verifier of the tokens with which services and operators connect to NATS.
func (p *Platform) ConnectVerifier() (*identity.Verifier, error) {
	keys, err := p.shared.identity()
	if err != nil {
		return nil, err
	}
	trusted, err := keys.trusted(append(services.Names(), natsauth.Operator))
	if err != nil {
		return nil, err
	}
	return identity.NewVerifier(trusted, clock.System{}), nil
}

// Revoked returns the certificates that are revoked now, by tlsconf.CertificateID, according to nats.tls.
func (p *Platform) Revoked() (func() map[string]bool, error) {
	c, err := resolve[NATSConfig](p.shared)
	if err != nil {
		return nil, err
	}
	source, err := tlsconf.Open(c.TLS, p.shared.logger)
	if err != nil {
		return nil, fmt.Errorf("nats.tls: %w", err)
	}
	return source.Revoked, nil
}

// Secret returns the secret that all services share.
//
// Errors: those of IdentityConfig.
func (p *Platform) Secret() ([]byte, error) {
	keys, err := p.shared.identity()
	if err != nil {
		return nil, err
	}
	return keys.Secret()
}
