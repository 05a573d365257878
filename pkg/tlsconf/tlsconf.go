// Package tlsconf makes the TLS configurations with which souk's processes prove who they are, and check who the other
// side is.
//
// The certificates, the key and the list of revoked certificates are files, as cert-manager, the Vault agent and SPIRE
// write them. They are read again when they change: the next handshake uses the new ones. Connections that exist keep
// theirs.
package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Config names the files of a process. All are PEM.
type Config struct {
	// CAFile holds the authorities that sign the certificates of the other side. Empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile holds the process's certificate, followed by the authorities between it and the root, and KeyFile its
	// private key. Both empty: the process has none.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// RevokedFile holds certificate revocation lists (RFC 5280) of the authorities in CAFile. Empty: none is revoked.
	RevokedFile string `yaml:"revoked_file"`
}

// Validate checks the configuration.
func (c Config) Validate() error {
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("cert_file: set cert_file and key_file, or neither")
	case c.RevokedFile != "" && c.CAFile == "":
		return errors.New("revoked_file: set ca_file too, whose authorities sign the list")
	}
	return nil
}

// checkInterval is the least time between two looks at the files.
const checkInterval = time.Second

// Source reads the files.
type Source struct {
	config Config
	log    *zap.Logger

	mu      sync.Mutex
	checked time.Time
	stamps  map[string]stamp
	read    *content
}

// stamp identifies a version of a file.
type stamp struct {
	modified time.Time
	size     int64
}

// content is what the files hold.
type content struct {
	roots   *x509.CertPool // nil: those of the system
	cert    *tls.Certificate
	revoked revoked
}

// Open reads the files of a valid configuration.
//
// Errors: a file cannot be read or used.
func Open(c Config, log *zap.Logger) (*Source, error) {
	s := &Source{config: c, log: log}
	s.stamps, s.checked = s.look(), time.Now()
	read, err := s.load()
	if err != nil {
		return nil, err
	}
	s.read = read
	return s, nil
}

// HasCertificate reports whether the process has a certificate.
func (s *Source) HasCertificate() bool { return s.config.CertFile != "" }

// Roots returns the authorities of now. Nil means those of the system.
func (s *Source) Roots() *x509.CertPool { return s.current().roots }

// Certificate returns the certificate of now, or an error if the process has none.
func (s *Source) Certificate() (tls.Certificate, error) {
	if c := s.current(); c.cert != nil {
		return *c.cert, nil
	}
	return tls.Certificate{}, errors.New("tls.cert_file is not set")
}

// Client returns the configuration of one connection to a server, according to the files of now. With a certificate, it
// requires TLS 1.3; otherwise TLS 1.2, which managed servers have.
func (s *Source) Client(host string) *tls.Config {
	c := s.current()
	out := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: c.roots, VerifyConnection: c.revoked.check,
	}
	if c.cert != nil {
		out.MinVersion, out.Certificates = tls.VersionTLS13, []tls.Certificate{*c.cert}
	}
	return out
}

// CheckRevoked returns [ErrRevoked] if a certificate of a connection is revoked.
func (s *Source) CheckRevoked(c tls.ConnectionState) error { return s.current().revoked.check(c) }

// Revoked returns the certificates that are revoked now, by [CertificateID].
func (s *Source) Revoked() map[string]bool {
	out := map[string]bool{}
	for issuer, serials := range s.current().revoked {
		for n := range serials {
			out[certificateID([]byte(issuer), n)] = true
		}
	}
	return out
}

// current returns the files' content. If they have changed and cannot be used, the last content stays: a file may be
// half written.
func (s *Source) current() *content {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.checked) < checkInterval {
		return s.read
	}
	s.checked = time.Now()
	stamps := s.look()
	if equal(stamps, s.stamps) {
		return s.read
	}
	read, err := s.load()
	if err != nil {
		s.log.Warn("changed TLS files cannot be used; the last ones stay", zap.Error(err))
		return s.read
	}
	s.read, s.stamps = read, stamps
	s.log.Info("TLS files were read again")
	return s.read
}

func (s *Source) look() map[string]stamp {
	out := map[string]stamp{}
	for _, path := range []string{s.config.CAFile, s.config.CertFile, s.config.KeyFile, s.config.RevokedFile} {
		if info, err := os.Stat(path); err == nil {
			out[path] = stamp{info.ModTime(), info.Size()}
		}
	}
	return out
}

func equal(a, b map[string]stamp) bool {
	if len(a) != len(b) {
		return false
	}
	for path, s := range a {
		if t, ok := b[path]; !ok || !s.modified.Equal(t.modified) || s.size != t.size {
			return false
		}
	}
	return true
}

func (s *Source) load() (*content, error) {
	c := &content{}
	var authorities []*x509.Certificate
	if path := s.config.CAFile; path != "" {
		var err error
		if authorities, err = readCertificates(path); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.roots = x509.NewCertPool()
		for _, a := range authorities {
			c.roots.AddCert(a)
		}
	}
	if s.config.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(s.config.CertFile, s.config.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		c.cert = &cert
	}
	if path := s.config.RevokedFile; path != "" {
		var err error
		if c.revoked, err = readRevoked(path, authorities); err != nil {
			return nil, fmt.Errorf("revoked_file: %w", err)
		}
	}
	return c, nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	err := eachBlock(path, "CERTIFICATE", func(der []byte) error {
		cert, err := x509.ParseCertificate(der)
		out = append(out, cert)
		return err
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s holds no certificate", path)
	}
	return out, err
}

// eachBlock calls f with each PEM block of a type in a file.
func eachBlock(path, kind string, f func(der []byte) error) error {
	rest, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		if block.Type != kind {
			continue
		}
		if err := f(block.Bytes); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}
