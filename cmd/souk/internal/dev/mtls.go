package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"souk/gen/go/souk/services"
	"souk/pkg/devstack/pki"
	"souk/pkg/natsauth"
	"souk/pkg/tlsconf"
)

const (
	// trustDomain is that of the certificates of souk dev.
	trustDomain = "souk.test"
	// certificateLife is how long a certificate of souk dev is valid. Each start issues all of them again.
	certificateLife = 30 * 24 * time.Hour
	// serverReload is how often the files of PostgreSQL and Redis are looked at.
	serverReload = time.Second
)

// The names of the servers' certificates.
const (
	postgresServer = "postgres"
	redisServer    = "redis"
	natsServer     = "nats"
)

// openPKI makes the authority of a data directory, unless it has one, and issues the certificates that are
// missing or old.
func openPKI(dir string) (pki.PKI, error) {
	p := pki.Open(dir)
	if _, err := os.Stat(p.RevokedFile()); errors.Is(err, os.ErrNotExist) {
		if err := p.Init(trustDomain); err != nil {
			return p, err
		}
	}
	certificates := map[string]pki.Names{}
	for _, name := range append(services.Names(), natsauth.Operator) {
		certificates[name] = pki.Names{Services: []string{name}}
	}
	for _, name := range []string{postgresServer, redisServer, natsServer} {
		certificates[name] = pki.Names{Hosts: []string{"127.0.0.1", "localhost"}}
	}
	for name, names := range certificates {
		if p.ValidFor(name, certificateLife/2) {
			continue
		}
		if err := p.Issue(name, names, certificateLife); err != nil {
			return p, err
		}
	}
	return p, nil
}

// serverTLS returns the files of a server; nil without mutual TLS.
func (s *stack) serverTLS(server string) *tlsconf.Config {
	if s.pki == nil {
		return nil
	}
	c := s.pki.Config(server)
	return &c
}

// keepReloading makes PostgreSQL and Redis read their files again when they have changed, until ctx ends. NATS and
// souk's processes do so by themselves.
func (s *stack) keepReloading(ctx context.Context, log *zap.Logger) {
	seen := s.serverFiles()
	ticker := time.NewTicker(serverReload)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := s.serverFiles()
		if slices.Equal(now, seen) {
			continue
		}
		if err := errors.Join(s.postgres.ReloadTLS(ctx), s.redis.ReloadTLS(ctx)); err != nil {
			log.Warn("the servers' certificates can't be read again", zap.Error(err))
			continue // files may be half replaced
		}
		seen = now
		log.Info("the servers' certificates were read again")
	}
}

// serverFiles returns the versions of the files of PostgreSQL and Redis.
func (s *stack) serverFiles() []string {
	var out []string
	for _, name := range []string{postgresServer, redisServer} {
		c := s.pki.Config(name)
		for _, path := range []string{c.CAFile, c.CertFile, c.KeyFile, c.RevokedFile} {
			if info, err := os.Stat(path); err == nil {
				out = append(out, fmt.Sprint(path, info.ModTime().UnixNano(), info.Size()))
			}
		}
	}
	return out
}

// redisSettings are those of the section redis.
func (s *stack) redisSettings() map[string]any {
	if s.pki == nil {
		return map[string]any{"addr": s.redis.Addr()}
	}
	return map[string]any{"addr": s.redis.TLSAddr(), "tls": true}
}

// certificateEnviron names the files of a process.
func certificateEnviron(c tlsconf.Config) []string {
	var out []string
	for _, prefix := range []string{"SOUK_NATS_TLS_", "SOUK_REDIS_"} {
		out = append(out, prefix+"CA_FILE="+c.CAFile, prefix+"CERT_FILE="+c.CertFile,
			prefix+"KEY_FILE="+c.KeyFile, prefix+"REVOKED_FILE="+c.RevokedFile)
	}
	return out
}
