package natsauth

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"

	"souk/pkg/tlsconf"
)

const (
	// globalAccount is the account of all users: that of a server without accounts in its configuration.
	globalAccount = "$G"
	// subject is where the server asks about connections.
	subject = "$SYS.REQ.USER.AUTH"
	// queue is the queue group of several responders.
	queue = "natsauth"
	// headerServerKey has the server's public key for encrypted answers.
	headerServerKey = "Nats-Server-Xkey"
)

// User is the name with which a process connects that answers for others. The server lets it pass by its password.
const User = "natsauth"

// SystemUser is the name with which it ends connections whose certificate is revoked.
const SystemUser = "system"

// Keys are the keys of the auth callout.
type Keys struct {
	// Issuer signs users. The server knows its public key.
	Issuer nkeys.KeyPair
	// Box encrypts requests and answers between the server and responders.
	Box nkeys.KeyPair
	// Password is that of User, SystemPassword that of [SystemUser].
	Password, SystemPassword string
}

// DeriveKeys derives the keys, with HKDF-SHA256, from a secret of at least 32 bytes.
func DeriveKeys(secret []byte) (Keys, error) {
	derive := func(purpose string) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, nil, "souk nats "+purpose, ed25519.SeedSize)
	}
	var k Keys
	raw, err := derive("issuer")
	if err != nil {
		return k, err
	}
	if k.Issuer, err = nkeys.FromRawSeed(nkeys.PrefixByteAccount, raw); err != nil {
		return k, err
	}
	if raw, err = derive("box"); err != nil {
		return k, err
	}
	seed, err := nkeys.EncodeSeed(nkeys.PrefixByteCurve, raw)
	if err != nil {
		return k, err
	}
	if k.Box, err = nkeys.FromCurveSeed(seed); err != nil {
		return k, err
	}
	for purpose, password := range map[string]*string{"password": &k.Password, "system": &k.SystemPassword} {
		if raw, err = derive(purpose); err != nil {
			return k, err
		}
		*password = fmt.Sprintf("%x", raw)
	}
	return k, nil
}

// Public returns the public keys of issuer and box, which the server has in its configuration.
func (k Keys) Public() (issuer, box string, err error) {
	if issuer, err = k.Issuer.PublicKey(); err != nil {
		return "", "", err
	}
	box, err = k.Box.PublicKey()
	return issuer, box, err
}

// Verifier reads the services that a token of a connection names.
type Verifier interface {
	VerifyConnect(token string) ([]string, error)
}

// Certificates say which certificate a process needs.
type Certificates struct {
	// Domain is the trust domain of souk's certificates. A process needs one that names all services of its token.
	// Empty: it needs none.
	Domain string
	// Revoked returns the revoked certificates, by tlsconf.CertificateID. Nil: none is.
	Revoked func() map[string]bool
}

type responder struct {
	keys         Keys
	verifier     Verifier
	certificates Certificates
	log          *zap.Logger
}

// Respond answers the server's questions about connections on nc, which is connected as [User], until nc is closed.
// Several processes may do so at the same time.
func Respond(nc *nats.Conn, k Keys, v Verifier, c Certificates, log *zap.Logger) error {
	r := &responder{keys: k, verifier: v, certificates: c, log: log}
	_, err := nc.QueueSubscribe(subject, queue, func(m *nats.Msg) {
		answer, err := r.answer(m.Data, m.Header.Get(headerServerKey))
		if err == nil {
			err = m.Respond(answer)
		}
		if err != nil { // the server refuses the connection after a time
			log.Error("a connection to NATS was not answered for", zap.Error(err))
		}
	})
	return err
}

// answer returns the answer to a request.
func (r *responder) answer(data []byte, serverKey string) ([]byte, error) {
	if serverKey != "" {
		opened, err := r.keys.Box.Open(data, serverKey)
		if err != nil {
			return nil, fmt.Errorf("open the request: %w", err)
		}
		data = opened
	}
	request, err := jwt.DecodeAuthorizationRequestClaims(string(data))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	response := jwt.NewAuthorizationResponseClaims(request.UserNkey)
	response.Audience = request.Server.ID
	u, err := r.admit(request)
	if err != nil {
		r.log.Warn("a connection to NATS was refused", zap.String("host", request.ClientInformation.Host),
			zap.String("client", request.ClientInformation.Name), zap.Error(err))
		response.Error = "the identity token or the certificate is not valid"
	} else if response.Jwt, err = u.Encode(r.keys.Issuer); err != nil {
		return nil, fmt.Errorf("sign the user: %w", err)
	}
	encoded, err := response.Encode(r.keys.Issuer)
	if err != nil {
		return nil, fmt.Errorf("sign the answer: %w", err)
	}
	if serverKey == "" {
		return []byte(encoded), nil
	}
	return r.keys.Box.Seal([]byte(encoded), serverKey)
}

// admit returns the user of a connection that may be made.
func (r *responder) admit(request *jwt.AuthorizationRequestClaims) (*jwt.UserClaims, error) {
	names, err := r.verifier.VerifyConnect(request.ConnectOptions.Token)
	if err != nil {
		return nil, err
	}
	u := user(request.UserNkey, names)
	if r.certificates.Domain == "" {
		return u, nil
	}
	id, err := r.certificates.check(request.TLS, names)
	if err != nil {
		return nil, err
	}
	u.Name += certificateMark + id // the server shows names only
	return u, nil
}

// certificateMark separates the services in a user's name from the ID of the certificate.
const certificateMark = " certificate:"

// check returns the ID of a connection's certificate. It fails unless that names the services.
func (c Certificates) check(t *jwt.ClientTLS, names []string) (id string, err error) {
	if t == nil || len(t.VerifiedChains) == 0 || len(t.VerifiedChains[0]) == 0 {
		return "", errors.New("it has no certificate that NATS has verified")
	}
	block, _ := pem.Decode([]byte(t.VerifiedChains[0][0]))
	if block == nil {
		return "", errors.New("its certificate cannot be read")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("its certificate cannot be read: %w", err)
	}
	certified := tlsconf.Services(cert, c.Domain)
	for _, name := range names {
		if !slices.Contains(certified, name) {
			return "", fmt.Errorf("its certificate does not name %s", name)
		}
	}
	id = tlsconf.CertificateID(cert)
	if c.Revoked != nil && c.Revoked()[id] {
		return "", tlsconf.ErrRevoked
	}
	return id, nil
}
