package module

import (
	"crypto/ed25519"
	"strings"

	"github.com/nats-io/nats.go"

	"souk/gen/go/souk/services"
	"souk/pkg/clock"
	"souk/pkg/identity"
	"souk/pkg/natsauth"
)

// NATSConfig configures the connection to NATS.
type NATSConfig struct {
	// URL lists the URLs of the NATS servers, separated by commas.
	URL string `yaml:"url"`
	// User and Password are credentials that the servers require of all processes. Unset: a process connects as the
	// services that it runs; see package natsauth.
	User     string `yaml:"user"`
	Password string `yaml:"password"`
	// Credentials is the path of a NATS credentials file.
	Credentials string `yaml:"credentials"`
}

// Options returns the options to connect as services, or as natsauth.Operator: with the configured credentials, or else
// with a token that is signed by their keys.
//
// Errors: those of IdentityConfig.Key.
func (c NATSConfig) Options(id IdentityConfig, names ...string) ([]nats.Option, error) {
	if c.shared() {
		return c.credentials(), nil
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
	return []nats.Option{
		nats.TokenHandler(token),
		nats.CustomInboxPrefix(natsauth.InboxPrefix(names[0])),
		nats.IgnoreAuthErrorAbort(), // natsauth may start later than this process
	}, nil
}

// shared reports whether all processes have the same credentials. They may be part of the URL.
func (c NATSConfig) shared() bool {
	return c.User != "" || c.Credentials != "" || strings.Contains(c.URL, "@")
}

func (c NATSConfig) credentials() []nats.Option {
	var opts []nats.Option
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
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
	opts := c.credentials()
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
