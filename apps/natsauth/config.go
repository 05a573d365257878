package natsauth

import (
	"encoding/base64"
	"errors"
	"fmt"

	"souk/pkg/config"
	"souk/pkg/module"
	"souk/pkg/natsauth"
	"souk/pkg/outbox"
	"souk/pkg/secrets"
)

// Config is the natsauth service's configuration, section "natsauth".
type Config struct {
	// Secret (base64, at least 32 bytes) is what the keys of the auth callout are derived from. Default empty:
	// identity.seed.
	Secret secrets.Value `yaml:"secret"`
	// TrustDomain is that of the services' certificates: each connection needs one that names its services, see package
	// tlsconf. Default empty: connections need no certificate.
	TrustDomain string `yaml:"trust_domain"`
	// Streams limits the streams of events.
	Streams outbox.Streams `yaml:"streams"`
}

// minSecret is the shortest secret in bytes.
const minSecret = 32

// Validate implements config.Validator.
func (c Config) Validate() error {
	if !c.Secret.IsSet() {
		return nil
	}
	_, err := c.secret()
	return err
}

func (c Config) secret() ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(c.Secret.Get())
	if err != nil || len(raw) < minSecret {
		return nil, errors.New("secret: want the base64 of at least 32 random bytes")
	}
	return raw, nil
}

// keys returns the keys of the auth callout. secret returns the secret that all services share.
func (c Config) keys(secret func() ([]byte, error)) (natsauth.Keys, error) {
	if c.Secret.IsSet() {
		secret = c.secret
	}
	raw, err := secret()
	if err != nil {
		return natsauth.Keys{}, err
	}
	return natsauth.DeriveKeys(raw)
}

// ServerConfig returns the part of a NATS server's configuration that makes it ask the service about connections. It
// holds a password.
//
// Errors: invalid_argument.
func ServerConfig(tree *config.Tree) (string, error) {
	var c Config
	id := module.DefaultIdentity()
	if err := errors.Join(tree.Decode("natsauth", &c), tree.Decode("identity", &id)); err != nil {
		return "", err
	}
	keys, err := c.keys(id.Secret)
	if err != nil {
		return "", err
	}
	issuer, box, err := keys.Public()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(
		serverConfig,
		natsauth.SystemUser,
		keys.SystemPassword,
		natsauth.User,
		keys.Password,
		issuer,
		box,
		natsauth.User,
		natsauth.SystemUser,
	), nil
}

const serverConfig = `max_control_line: 16KB
accounts {
  $SYS { users: [{user: %s, password: "%s"}] }
}
authorization {
  users: [{user: %s, password: "%s"}]
  auth_callout {
    issuer: %s
    xkey: %s
    auth_users: [%s, %s]
  }
}
`
