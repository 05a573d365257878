package devstack

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"souk/pkg/tlsconf"
)

// OperatorName is the common name of the certificate that may connect as any database's role.
const OperatorName = "operator"

// identMap is the name of the map from certificates to roles in pg_ident.conf.
const identMap = "souk"

// TLSURL returns the URL for a database as its own role, over the loopback port, for a client with these files. Its
// certificate has the role's name as common name, or OperatorName. It works if the server has TLS.
func (p *Postgres) TLSURL(database string, files tlsconf.Config) string {
	u, err := url.Parse(p.TCPURL(database))
	if err != nil {
		return ""
	}
	u.User = url.User(database)
	u.RawQuery = url.Values{
		"sslmode": {
			"verify-full",
		},
		"sslrootcert": {files.CAFile},
		"sslcert":     {files.CertFile},
		"sslkey":      {files.KeyFile},
	}.Encode()
	return u.String()
}

func (p *Postgres) tlsFile(name string) string { return filepath.Join(p.o.Dir, "tls", name) }

// tlsSettings returns the server's settings for TLS. Only the superuser gets in without a certificate.
func (p *Postgres) tlsSettings() map[string]string {
	return map[string]string{
		"ssl":                      "on",
		"ssl_min_protocol_version": "TLSv1.3",
		"ssl_ca_file":              p.tlsFile("ca.crt"),
		"ssl_cert_file":            p.tlsFile("tls.crt"),
		"ssl_key_file":             p.tlsFile("tls.key"),
		"ssl_crl_file":             p.tlsFile("revoked.crl"),
		"hba_file":                 p.tlsFile("pg_hba.conf"),
		"ident_file":               p.tlsFile("pg_ident.conf"),
	}
}

// writeTLS copies the files of TLS to where the server may read them, and writes who may connect.
func (p *Postgres) writeTLS() error {
	if err := ownedDir(filepath.Dir(p.tlsFile("x")), p.as); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	hba := "local all " + superuser + " scram-sha-256\nhostssl all all 127.0.0.1/32 cert map=" + identMap + "\n"
	var ident strings.Builder
	for _, role := range p.o.Databases {
		fmt.Fprintf(&ident, "%s %s %s\n%s %s %s\n", identMap, role, role, identMap, OperatorName, role)
	}
	files := map[string]string{"pg_hba.conf": hba, "pg_ident.conf": ident.String()}
	for name, from := range map[string]string{
		"ca.crt": p.o.TLS.CAFile, "tls.crt": p.o.TLS.CertFile, "tls.key": p.o.TLS.KeyFile, "revoked.crl": p.o.TLS.RevokedFile,
	} {
		content, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		files[name] = string(content)
	}
	for name, content := range files {
		path := p.tlsFile(name)
		if err := errors.Join(writeFile(path, []byte(content)), chown(path, p.as)); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
	}
	return nil
}

// ReloadTLS makes the server read the files of TLS again, and ends the sessions whose certificate is revoked.
func (p *Postgres) ReloadTLS(ctx context.Context) error {
	if err := p.writeTLS(); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, p.AdminURL())
	if err != nil {
		return fmt.Errorf("postgres: reload: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // the statements have been answered
	if _, err := conn.Exec(ctx, `select pg_reload_conf()`); err != nil {
		return fmt.Errorf("postgres: reload: %w", err)
	}
	serials, err := revokedSerials(p.o.TLS.RevokedFile)
	if err != nil {
		return fmt.Errorf("postgres: reload: %w", err)
	}
	_, err = conn.Exec(ctx,
		`select pg_terminate_backend(pid) from pg_stat_ssl where client_serial::text = any($1)`, serials)
	if err != nil {
		return fmt.Errorf("postgres: end sessions: %w", err)
	}
	return nil
}

// revokedSerials returns the serial numbers in revocation lists, in decimal digits.
func revokedSerials(file string) ([]string, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	serials := []string{}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return serials, nil
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, e := range list.RevokedCertificateEntries {
			serials = append(serials, e.SerialNumber.String())
		}
	}
}
