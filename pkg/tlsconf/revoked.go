package tlsconf

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// ErrRevoked is the error of a handshake with a revoked certificate.
var ErrRevoked = errors.New("the certificate is revoked")

// revoked are the serial numbers of revoked certificates, by their issuer.
type revoked map[string]map[string]bool

func readRevoked(path string, authorities []*x509.Certificate) (revoked, error) {
	out := revoked{}
	err := eachBlock(path, "X509 CRL", func(der []byte) error {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return err
		}
		if err := signed(list, authorities); err != nil {
			return err
		}
		issuer := string(list.RawIssuer)
		if out[issuer] == nil {
			out[issuer] = map[string]bool{}
		}
		for _, entry := range list.RevokedCertificateEntries {
			out[issuer][serial(entry.SerialNumber)] = true
		}
		return nil
	})
	return out, err
}

// signed returns an error unless one of the authorities signed the list.
func signed(list *x509.RevocationList, authorities []*x509.Certificate) error {
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(a) == nil {
			return nil
		}
	}
	return fmt.Errorf("no authority of ca_file has signed the list of %s", list.Issuer)
}

// CertificateID identifies a certificate by its issuer and serial number, in 32 hexadecimal digits.
func CertificateID(cert *x509.Certificate) string {
	return certificateID(cert.RawIssuer, serial(cert.SerialNumber))
}

func certificateID(issuer []byte, serial string) string {
	sum := sha256.Sum256(append(slices.Clone(issuer), serial...))
	return hex.EncodeToString(sum[:16])
}

func serial(n *big.Int) string { return n.Text(16) }

// check fails if a certificate of the connection is revoked.
func (r revoked) check(c tls.ConnectionState) error {
	for _, cert := range c.PeerCertificates {
		if r[string(cert.RawIssuer)][serial(cert.SerialNumber)] {
			return fmt.Errorf("%w: %s", ErrRevoked, serial(cert.SerialNumber))
		}
	}
	return nil
}
