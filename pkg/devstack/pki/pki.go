// Package pki is a small certificate authority for development and tests: `souk pki`, and `souk dev --mtls`. In
// production cert-manager, Vault or SPIRE issue the certificates.
//
// Its folder has ca/ with the authority's key, and a folder for each certificate with the files that cert-manager
// writes, too: tls.crt, tls.key and ca.crt. revoked.crl lists the revoked ones.
package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"souk/pkg/tlsconf"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// Life is how long a certificate is valid if the caller does not say.
	Life = 90 * 24 * time.Hour
	// skew is how much later another machine's clock may be.
	skew = 5 * time.Minute
)

// PKI is the folder of an authority.
type PKI struct{ dir string }

// Open returns the authority in a folder, whether it exists or not.
func Open(dir string) PKI { return PKI{dir: dir} }

// The files of an authority.
func (p PKI) caKey() string     { return filepath.Join(p.dir, "ca", "ca.key") }
func (p PKI) formerKey() string { return filepath.Join(p.dir, "ca", "former.key") }
func (p PKI) caCert() string    { return filepath.Join(p.dir, "ca", "ca.crt") }
func (p PKI) issued() string    { return filepath.Join(p.dir, "ca", "issued") }

// RevokedFile is the list of revoked certificates.
func (p PKI) RevokedFile() string { return filepath.Join(p.dir, "revoked.crl") }

// Config returns the files of a certificate.
func (p PKI) Config(name string) tlsconf.Config {
	dir := filepath.Join(p.dir, name)
	return tlsconf.Config{
		CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "tls.crt"),
		KeyFile: filepath.Join(dir, "tls.key"), RevokedFile: p.RevokedFile(),
	}
}

// Init makes an authority for a trust domain.
//
// Errors: the folder has one already.
func (p PKI) Init(domain string) error {
	if _, err := tlsconf.ServiceURI(domain, "x"); err != nil {
		return err
	}
	if _, err := os.Stat(p.caCert()); err == nil {
		return fmt.Errorf("%s has an authority already", p.dir)
	}
	if err := os.MkdirAll(p.issued(), 0o700); err != nil {
		return err
	}
	return p.newAuthority(domain, nil)
}

// newAuthority makes a key and a certificate of an authority. The certificate of the former one stays behind it in
// ca.crt, and its key in former.key, to sign its list of revoked certificates.
func (p PKI) newAuthority(domain string, former []*x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	number, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: number,
		Subject: pkix.Name{
			Organization: []string{"souk"},
			CommonName:   domain + " " + number.Text(16)[:8],
		},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: domain}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	certs := encode("CERTIFICATE", der)
	for _, c := range former {
		certs = append(certs, encode("CERTIFICATE", c.Raw)...)
	}
	if len(former) > 0 {
		old, err := readKey(p.caKey())
		if err != nil {
			return err
		}
		if err := writeKey(p.formerKey(), old); err != nil {
			return err
		}
	}
	if err := writeKey(p.caKey(), key); err != nil {
		return err
	}
	if err := write(p.caCert(), certs, 0o644); err != nil {
		return err
	}
	return p.writeRevoked(nil)
}

// authority is what signs.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	all   []*x509.Certificate // with former authorities, the current one first
	bytes []byte              // of ca.crt
}

func (p PKI) authority() (authority, error) {
	var a authority
	var err error
	if a.bytes, err = os.ReadFile(p.caCert()); errors.Is(err, os.ErrNotExist) {
		return a, fmt.Errorf("%s has no authority: make one with souk pki init", p.dir)
	} else if err != nil {
		return a, err
	}
	if a.all, err = decodeCertificates(a.bytes); err != nil {
		return a, fmt.Errorf("%s: %w", p.caCert(), err)
	}
	a.cert = a.all[0]
	a.key, err = readKey(p.caKey())
	return a, err
}

// former returns the authority before a, as long as all sides trust it. Ok reports whether it exists.
func (p PKI) former(a authority) (former authority, ok bool, err error) {
	if len(a.all) < 2 {
		return former, false, nil
	}
	former.cert = a.all[1]
	former.key, err = readKey(p.formerKey())
	return former, true, err
}

func (a authority) domain() string {
	if len(a.cert.URIs) == 0 {
		return ""
	}
	return a.cert.URIs[0].Host
}

// Names are what a certificate is for.
type Names struct {
	// Services of souk, for the processes that run them.
	Services []string
	// Hosts are the names and IP addresses under which a server is reached.
	Hosts []string
	// CommonName is the subject; PostgreSQL compares it with the role's name. Empty: that of the folder.
	CommonName string
}

// Issue makes a key and a certificate in the folder name, and replaces those that it has.
func (p PKI) Issue(name string, names Names, life time.Duration) error {
	if name == "" || name == "ca" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q cannot name a certificate", name)
	}
	if life < time.Minute || life > authorityLife {
		return fmt.Errorf("a certificate is valid for at least a minute, and at most ten years, not %s", life)
	}
	a, err := p.authority()
	if err != nil {
		return err
	}
	number, err := newSerial()
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: number,
		Subject:      pkix.Name{CommonName: names.CommonName},
		NotBefore:    now.Add(-skew), NotAfter: now.Add(life),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if template.Subject.CommonName == "" {
		template.Subject.CommonName = name
	}
	for _, service := range names.Services {
		uri, err := tlsconf.ServiceURI(a.domain(), service)
		if err != nil {
			return err
		}
		template.URIs = append(template.URIs, uri)
	}
	for _, host := range names.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(names.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	cert := encode("CERTIFICATE", der)
	// The copy lets Revoke find certificates that were replaced.
	copies := filepath.Join(p.issued(), name)
	if err := os.MkdirAll(copies, 0o700); err != nil {
		return err
	}
	if err := write(filepath.Join(copies, number.Text(16)+".crt"), cert, 0o644); err != nil {
		return err
	}
	files := p.Config(name)
	if err := os.MkdirAll(filepath.Dir(files.CertFile), 0o755); err != nil {
		return err
	}
	if err := write(files.CAFile, a.bytes, 0o644); err != nil {
		return err
	}
	// A reader between the two writes has a key that does not fit; it keeps the last pair, and reads again.
	if err := writeKey(files.KeyFile, key); err != nil {
		return err
	}
	return write(files.CertFile, cert, 0o644)
}

// ValidFor reports whether there is a certificate with the name that is valid for d from now on.
func (p PKI) ValidFor(name string, d time.Duration) bool {
	cert, err := readCertificate(p.Config(name).CertFile)
	return err == nil && time.Now().Add(d).Before(cert.NotAfter)
}

// List returns the names of the certificates.
func (p PKI) List() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(p.dir, "*", "tls.crt"))
	var out []string
	for _, path := range paths {
		out = append(out, filepath.Base(filepath.Dir(path)))
	}
	return out, err
}

// Rotate issues each certificate again, with a new key, for the same names and as long. If authorities is set, it makes
// a new authority instead, which all sides trust beside the former one; a later Rotate lets it sign.
func (p PKI) Rotate(newAuthority bool) error {
	a, err := p.authority()
	if err != nil {
		return err
	}
	names, err := p.List()
	if err != nil {
		return err
	}
	if newAuthority {
		if err := p.newAuthority(a.domain(), a.all[:1]); err != nil {
			return err
		}
		if a, err = p.authority(); err != nil {
			return err
		}
	}
	for _, name := range names {
		if newAuthority {
			if err := write(p.Config(name).CAFile, a.bytes, 0o644); err != nil {
				return err
			}
			continue
		}
		cert, err := readCertificate(p.Config(name).CertFile)
		if err != nil {
			return err
		}
		n := Names{
			Services: tlsconf.Services(
				cert,
				a.domain(),
			),
			Hosts:      slices.Clone(cert.DNSNames),
			CommonName: cert.Subject.CommonName,
		}
		for _, ip := range cert.IPAddresses {
			n.Hosts = append(n.Hosts, ip.String())
		}
		if err := p.Issue(name, n, cert.NotAfter.Sub(cert.NotBefore)-skew); err != nil {
			return err
		}
	}
	return nil
}

// Revoke adds all certificates that were issued under a name to the lists of revoked ones.
func (p PKI) Revoke(name string) error {
	paths, err := filepath.Glob(filepath.Join(p.issued(), name, "*.crt"))
	if err != nil {
		return err
	}
	var certs []*x509.Certificate
	for _, path := range paths {
		cert, err := readCertificate(path)
		if err != nil {
			return err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return fmt.Errorf("%s has issued no certificate %s", p.dir, name)
	}
	return p.writeRevoked(certs)
}

// writeRevoked adds certificates to the lists of their authorities, the current one and the former one.
func (p PKI) writeRevoked(certs []*x509.Certificate) error {
	a, err := p.authority()
	if err != nil {
		return err
	}
	authorities := []authority{a}
	former, ok, err := p.former(a)
	if err != nil {
		return err
	}
	if ok {
		authorities = append(authorities, former)
	}
	raw, err := os.ReadFile(p.RevokedFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var lists []byte
	for _, a := range authorities {
		der, err := a.revoke(raw, certs)
		if err != nil {
			return err
		}
		lists = append(lists, encode("X509 CRL", der)...)
	}
	return write(p.RevokedFile(), lists, 0o644)
}

// revoke returns the authority's list: that in lists, with those of the certificates that it has signed.
func (a authority) revoke(lists []byte, certs []*x509.Certificate) ([]byte, error) {
	number := big.NewInt(1)
	var entries []x509.RevocationListEntry
	for block, rest := pem.Decode(lists); block != nil; block, rest = pem.Decode(rest) {
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(list.RawIssuer, a.cert.RawSubject) {
			entries, number = list.RevokedCertificateEntries, new(big.Int).Add(list.Number, big.NewInt(1))
		}
	}
	now := time.Now()
	for _, cert := range certs {
		if bytes.Equal(cert.RawIssuer, a.cert.RawSubject) {
			entries = append(entries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: now})
		}
	}
	return x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: number, ThisUpdate: now, NextUpdate: now.Add(authorityLife), RevokedCertificateEntries: entries,
	}, a.cert, a.key)
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return write(path, encode("EC PRIVATE KEY", der), 0o600)
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key", path)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// write replaces a file at once, so that a reader has all of the old or all of the new one.
func write(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // it is there only after an error
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func readCertificate(path string) (*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certs, err := decodeCertificates(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs[0], nil
}

func decodeCertificates(raw []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, cert)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return out, nil
}
