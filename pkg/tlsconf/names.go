package tlsconf

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// servicePath is the path of a service's name. The names have the form of SPIFFE IDs:
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md
const servicePath = "/service/"

var trustDomain = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)

// ServiceURI returns the name of a service in certificates: spiffe://example.org/service/order.
//
// Errors: the trust domain is not one.
func ServiceURI(domain, service string) (*url.URL, error) {
	if !trustDomain.MatchString(domain) {
		return nil, fmt.Errorf("trust domain %q: must have lower-case letters, digits, dots, - and _ only", domain)
	}
	return &url.URL{Scheme: "spiffe", Host: domain, Path: servicePath + service}, nil
}

// Services returns the services of a trust domain that a certificate names.
func Services(cert *x509.Certificate, domain string) []string {
	var out []string
	for _, u := range cert.URIs {
		service, ok := strings.CutPrefix(u.Path, servicePath)
		if ok && u.Scheme == "spiffe" && u.Host == domain && service != "" && !strings.Contains(service, "/") {
			out = append(out, service)
		}
	}
	return out
}
