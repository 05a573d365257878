package pki

import (
	"crypto/tls"
	"errors"

	"souk/pkg/tlsconf"
)

// Server returns a configuration for a server that requires a certificate of each client.
func Server(s *tlsconf.Source) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cert, err := s.Certificate()
			if err != nil {
				return nil, err
			}
			roots := s.Roots()
			if roots == nil { // the system's authorities sign certificates for anybody
				return nil, errors.New("the server has no authority of its own")
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
				ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, VerifyConnection: s.CheckRevoked,
			}, nil
		},
	}
}
